// Filters by the times of a pixel and of its neighbours, as stdl_events/events/filters.py has them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "evt.hpp"

// The time of the latest event at each pixel of a sensor with a border of one pixel.
class LastTimes {
public:
    explicit LastTimes(const Size& size) : stride_(size.first + 2) {
        last_us_.assign(static_cast<std::size_t>(stride_ * (size.second + 2)), long_ago_us);
    }

    // How long ago a pixel beside the event's, or its own, had one.
    std::int64_t since_us(const Event& event, std::int64_t right, std::int64_t down) const {
        return event.t_us - last_us_[place(event, right, down)];
    }
    void remember(const Event& event) { last_us_[place(event, 0, 0)] = event.t_us; }

private:
    static constexpr std::int64_t long_ago_us = std::numeric_limits<std::int64_t>::min() / 2;

    std::size_t place(const Event& event, std::int64_t right, std::int64_t down) const {
        return static_cast<std::size_t>((event.y + 1 + down) * stride_ + event.x + 1 + right);
    }

    std::int64_t stride_;
    std::vector<std::int64_t> last_us_;
};

// An event is kept if one of its eight neighbours had one, kept or not, at most `support_us` before.
class BackgroundFilter {
public:
    BackgroundFilter(const Size& size, std::int64_t support_us) : last_(size), support_us_(support_us) {}

    bool keeps(const Event& event) {
        bool is_supported = false;
        for (const std::int64_t down : {-1, 0, 1})
            for (const std::int64_t right : {-1, 0, 1})
                is_supported |= (right || down) && last_.since_us(event, right, down) <= support_us_;
        last_.remember(event);
        return is_supported;
    }

private:
    LastTimes last_;
    std::int64_t support_us_;
};

// An event is kept if the one before at its pixel, kept or not, is more than `period_us` ago.
class RefractoryFilter {
public:
    RefractoryFilter(const Size& size, std::int64_t period_us) : last_(size), period_us_(period_us) {}

    bool keeps(const Event& event) {
        const bool is_rested = last_.since_us(event, 0, 0) > period_us_;
        last_.remember(event);
        return is_rested;
    }

private:
    LastTimes last_;
    std::int64_t period_us_;
};
