// Events to frames, as the frame spec of the model's card says.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "evt.hpp"
#include "filters.hpp"
#include "frame_spec.hpp"
#include "refusal.hpp"

struct Frame {
    std::int64_t clip, step, t_start_us, t_end_us;  // half open
    const std::vector<float>& counts;               // [2, H, W]: darker, brighter
};

// Cuts a stream of events into frames, which it hands on one by one. Real cameras write events some microseconds late:
// they are sorted within a millisecond; what is later than its window is counted as late.
class Framer {
public:
    // Args: name: of the recording, for messages.
    Framer(const FrameSpec& spec, std::string name, std::function<void(const Frame&)> hand_on)
        : spec_(spec), name_(std::move(name)), hand_on_(std::move(hand_on)), counts_(spec.values()) {
        if (spec.background_us) background_.emplace(spec.sensor_size, spec.background_us);
        if (spec.refractory_us) refractory_.emplace(spec.sensor_size, spec.refractory_us);
    }

    std::int64_t events = 0, outside = 0, late = 0, filtered = 0, cropped = 0;

    void push(const std::vector<Event>& arrived) {
        for (const Event& event : arrived) {
            ++events;
            if (event.x >= spec_.sensor_size.first || event.y >= spec_.sensor_size.second) {
                ++outside;
                continue;
            }
            if (event.t_us < newest_us_ - longest_reset_us)
                throw Refusal(name_,
                              "a clock that goes back from t=" + std::to_string(newest_us_) +
                                  " to t=" + std::to_string(event.t_us) + " us",
                              "one take", "write one with stdl-events convert --take 1");
            newest_us_ = std::max(newest_us_, event.t_us);
            if (spec_.whole_recording)
                held_.push_back(event);
            else
                hold(event);
        }
    }

    // The end of the source: the open window is closed if it holds events.
    void finish() {
        if (spec_.whole_recording) return cut_recording();
        release(newest_us_);
        if (in_open_ > 0) close(t_end_of_open());
    }

private:
    static constexpr std::int64_t hold_us = 1000, longest_reset_us = 1'000'000, most_windows = 1'000'000;

    // Frames all events that are a millisecond older than the newest one, in order of time, and closes the windows that
    // end there: an event after them will be counted, so that they are frames of the recording.
    void hold(const Event& event) {
        if (event.t_us <= newest_us_ - hold_us) return frame(event);
        auto place = held_.end();
        while (place != held_.begin() && std::prev(place)->t_us > event.t_us) --place;
        held_.insert(place, event);
        if (is_surely_counted(event)) counted_us_ = std::max(counted_us_, event.t_us);
        release(newest_us_ - hold_us);
        if (spec_.dt_us && index_ >= 0) close_until(std::min(newest_us_ - hold_us, counted_us_));
    }

    void release(std::int64_t until_us) {
        for (; !held_.empty() && held_.front().t_us <= until_us; held_.pop_front()) frame(held_.front());
    }

    void frame(Event event) {
        if (select(event)) spec_.dt_us ? cut_by_time(event) : cut_by_count(event);
    }

    // Moves the event to its pixel of the frame; false if it is dropped.
    bool select(Event& event) {
        if (is_hot(event) || (background_ && !background_->keeps(event)) ||
            (refractory_ && !refractory_->keeps(event)))
            return ++filtered, false;
        return place(event) || (++cropped, false);
    }

    bool is_hot(const Event& event) const {
        return !spec_.hot_pixels.empty() && spec_.hot_pixels.count({event.x, event.y});
    }

    // False if the geometry crops the event.
    bool place(Event& event) const {
        if (spec_.exchanges) std::swap(event.x, event.y);
        const std::int32_t x = spec_.to_column[event.x], y = spec_.to_row[event.y];
        event.x = static_cast<std::uint32_t>(x);
        event.y = static_cast<std::uint32_t>(y);
        return x >= 0 && y >= 0;
    }

    // False where other events, which may still come, decide on it.
    bool is_surely_counted(Event event) const {
        return !background_ && !refractory_ && !is_hot(event) && place(event);
    }

    void count(const Event& event) {
        const std::int64_t row = (event.brighter ? spec_.height : 0) + event.y;
        float& pixel = counts_[static_cast<std::size_t>(row * spec_.width + event.x)];
        if (pixel < static_cast<float>(spec_.cap)) pixel += 1;
        ++in_open_;
    }

    void cut_by_time(const Event& event) {
        const bool begins = index_ < 0;
        if (begins && !spec_.grid_of_clock) origin_us_ = event.t_us;
        const std::int64_t since_us = event.t_us - origin_us_;
        if (since_us < 0) return void(++late);
        const std::int64_t window = since_us / spec_.dt_us;
        if (begins) index_ = window;
        if (window < index_) return void(++late);
        close_until(event.t_us);
        count(event);
    }

    // Closes the windows of time that end at or before t_us.
    void close_until(std::int64_t t_us) {
        const std::int64_t window = (t_us - origin_us_) / spec_.dt_us;
        if (window - index_ > most_windows)
            throw Refusal(name_,
                          std::to_string(window - index_) + " windows at once up to t=" + std::to_string(t_us) + " us",
                          "at most " + std::to_string(most_windows), "cut the recording at its gap in time");
        while (index_ < window) close(t_end_of_open());
    }

    void cut_by_count(const Event& event) {
        if (index_ < 0) index_ = 0;
        if (in_open_ == 0) t_start_us_ = event.t_us;
        t_last_us_ = event.t_us;
        count(event);
        if (in_open_ == spec_.events_per_frame) close(t_end_of_open());
    }

    std::int64_t t_end_of_open() const {
        return spec_.dt_us ? origin_us_ + (index_ + 1) * spec_.dt_us : t_last_us_ + 1;
    }

    void close(std::int64_t t_end_us) {
        const std::int64_t t_start_us = spec_.dt_us ? t_end_us - spec_.dt_us : t_start_us_;
        hand_on_({index_ / spec_.steps, index_ % spec_.steps, t_start_us, t_end_us, counts_});
        std::fill(counts_.begin(), counts_.end(), 0.0F);
        in_open_ = 0;
        ++index_;
    }

    // T bins of equal numbers of events or equal durations; a recording too short for that is in the last one.
    void cut_recording() {
        const auto earlier = [](const Event& a, const Event& b) { return a.t_us < b.t_us; };
        std::stable_sort(held_.begin(), held_.end(), earlier);
        std::vector<Event> kept;
        for (Event event : held_)
            if (select(event)) kept.push_back(event);
        if (kept.empty()) return;
        const std::int64_t total = static_cast<std::int64_t>(kept.size()), first_us = kept.front().t_us;
        const std::int64_t length = (spec_.by_time ? kept.back().t_us - first_us : total) / spec_.steps;
        t_start_us_ = first_us;
        index_ = 0;
        for (std::int64_t n = 0; n < total; ++n) {
            const Event& event = kept[static_cast<std::size_t>(n)];
            const std::int64_t bin = length ? (spec_.by_time ? event.t_us - first_us : n) / length : spec_.steps;
            const bool is_left = bin >= spec_.steps && spec_.drops && (length || !spec_.by_time);
            if (is_left) break;
            while (index_ < std::min(bin, spec_.steps - 1)) close(kept.back().t_us + 1);
            count(event);
        }
        while (index_ < spec_.steps) close(kept.back().t_us + 1);
    }

    const FrameSpec& spec_;
    std::string name_;
    std::function<void(const Frame&)> hand_on_;
    std::vector<float> counts_;
    std::optional<BackgroundFilter> background_;
    std::optional<RefractoryFilter> refractory_;
    std::deque<Event> held_;
    std::int64_t index_ = -1, origin_us_ = 0, newest_us_ = 0, in_open_ = 0, t_start_us_ = 0, t_last_us_ = 0;
    std::int64_t counted_us_ = 0;  // of the newest event that will be in a frame
};
