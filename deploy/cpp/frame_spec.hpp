// The frame spec of a model's card: the filters, the geometry and the windows by which events become frames.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "evt.hpp"
#include "json.hpp"
#include "refusal.hpp"

// What is not here is refused when the model is opened, never left out in silence.
struct FrameSpec {
    bool whole_recording = false;         // T bins of a recording; otherwise windows of a stream
    bool by_time = false, drops = false;  // of the bins: equal durations; what does not fill a bin is dropped
    bool grid_of_clock = false;           // zero of the windows of fixed time: of the clock, or the first event
    std::int64_t steps = 0;               // T, frames of a clip
    std::int64_t dt_us = 0, events_per_frame = 0;
    std::int64_t cap = 65535, downscale = 1;
    Size sensor_size{0, 0};
    std::set<std::pair<std::int64_t, std::int64_t>> hot_pixels;
    std::int64_t background_us = 0, refractory_us = 0;  // of the filters; 0 is none
    bool exchanges = false;                       // columns and rows, by a quarter turn
    std::vector<std::int32_t> to_column, to_row;  // of the frame; -1 drops the event
    std::int64_t height = 0, width = 0;           // of a frame

    std::size_t values() const { return static_cast<std::size_t>(2 * height * width); }
};

inline Refusal wrong_entry(const std::string& name, const std::string& expected) {
    return Refusal("model card", "another value of " + name, expected, "export the model again");
}

inline Refusal unsupported(const std::string& what) {
    return Refusal("model card", what, "a model that this program knows", "use stdl-events live or predict");
}

inline std::int64_t whole_number(const json::Value& value, const std::string& name, std::int64_t least,
                                 std::int64_t most) {
    const auto* number = std::get_if<double>(&value.is);
    if (!number || *number != std::floor(*number) || *number < static_cast<double>(least) ||
        *number > static_cast<double>(most))
        throw wrong_entry(name, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    return static_cast<std::int64_t>(*number);
}

inline std::vector<std::int64_t> whole_numbers(const json::Value& value, const std::string& name, std::int64_t least,
                                               std::int64_t most) {
    const auto* list = std::get_if<json::List>(&value.is);
    if (!list) throw wrong_entry(name, "a list of whole numbers");
    std::vector<std::int64_t> numbers;
    for (const auto& entry : *list) numbers.push_back(whole_number(entry, name, least, most));
    return numbers;
}

inline std::string choice(const json::Value& value, const std::string& name, const std::vector<std::string>& choices) {
    const auto* text = value.is_null() ? &choices.front() : std::get_if<std::string>(&value.is);
    if (!text || std::find(choices.begin(), choices.end(), *text) == choices.end())
        throw wrong_entry(name, "one of its choices");
    return *text;
}

constexpr std::int64_t longest_side = 65536, most_timed_pixels = 1 << 24;

inline Size size_entry(const json::Value& value, const std::string& name) {
    const auto sides = whole_numbers(value, name, 1, longest_side);
    if (sides.size() != 2) throw wrong_entry(name, "a width and a height");
    return {sides[0], sides[1]};
}

// The new coordinate by the old one along an axis of `side` pixels; -1 where the event is dropped.
inline std::vector<std::int32_t> axis_table(std::int64_t side, bool reversed, std::int64_t first, std::int64_t length,
                                            std::int64_t target, bool picks, std::int64_t downscale) {
    std::vector<std::int32_t> table(static_cast<std::size_t>(side), -1);
    for (std::int64_t old = 0; old < side; ++old) {
        const std::int64_t position = (reversed ? side - 1 - old : old) - first;
        if (position < 0 || position >= length) continue;
        const std::int64_t cell = position * target / length;
        // The positions of a cell are those from the first to the last one that `target / length` maps to it.
        const std::int64_t begin = (cell * length + target - 1) / target;
        const std::int64_t end = ((cell + 1) * length + target - 1) / target;
        if (!picks || position == (begin + end - 1) / 2)
            table[static_cast<std::size_t>(old)] = static_cast<std::int32_t>(cell / downscale);
    }
    return table;
}

// Sets the tables and the size of a frame. The order: rotate, flip, crop, scale, downscale.
inline void set_geometry(FrameSpec& spec, const json::Value& card) {
    const std::int64_t rotate = card["rotate"].is_null() ? 0 : whole_number(card["rotate"], "frame.rotate", 0, 270);
    if (rotate % 90) throw wrong_entry("frame.rotate", "0, 90, 180 or 270");
    const std::string flip = choice(card["flip"], "frame.flip", {"none", "horizontal", "vertical"});
    const bool picks = choice(card["scale_by"], "frame.scale_by", {"area", "pick"}) == "pick";
    auto [wide, high] = spec.sensor_size;
    if ((spec.exchanges = rotate % 180 != 0)) std::swap(wide, high);
    std::vector<std::int64_t> window{0, 0, wide, high};
    if (!card["center_crop"].is_null()) {
        const auto [width, height] = size_entry(card["center_crop"], "frame.center_crop");
        window = {(wide - width) / 2, (high - height) / 2, width, height};
        if (width > wide || height > high || !card["crop"].is_null())
            throw wrong_entry("frame.center_crop", "a window inside");
    } else if (!card["crop"].is_null()) {
        window = whole_numbers(card["crop"], "frame.crop", 0, longest_side);
    }
    if (window.size() != 4 || window[2] < 1 || window[3] < 1 || window[0] + window[2] > wide ||
        window[1] + window[3] > high)
        throw wrong_entry("frame.crop", "a window inside the sensor");
    const bool scales = !card["scale"].is_null();
    const auto [width, height] = scales ? size_entry(card["scale"], "frame.scale") : Size{window[2], window[3]};
    if (width > window[2] || height > window[3]) throw wrong_entry("frame.scale", "at most the size before it");
    const bool reverses_x = (rotate == 90 || rotate == 180) != (flip == "horizontal");
    const bool reverses_y = (rotate == 180 || rotate == 270) != (flip == "vertical");
    spec.to_column = axis_table(wide, reverses_x, window[0], window[2], width, scales && picks, spec.downscale);
    spec.to_row = axis_table(high, reverses_y, window[1], window[3], height, scales && picks, spec.downscale);
    spec.width = (width + spec.downscale - 1) / spec.downscale;
    spec.height = (height + spec.downscale - 1) / spec.downscale;
}

inline void set_filters(FrameSpec& spec, const json::Value& filters) {
    const auto microseconds = [&](const char* name) {
        if (filters[name].is_null()) return std::int64_t{0};
        if ((spec.sensor_size.first + 2) * (spec.sensor_size.second + 2) > most_timed_pixels)
            throw unsupported("a filter of times on more than 2^24 pixels");
        return whole_number(filters[name], std::string("frame.filters.") + name, 1, std::int64_t{1} << 52);
    };
    spec.background_us = microseconds("background_us");
    spec.refractory_us = microseconds("refractory_us");
    if (filters["hot_pixels"].is_null()) return;
    const auto* pixels = std::get_if<json::List>(&filters["hot_pixels"].is);
    if (!pixels) throw wrong_entry("frame.filters.hot_pixels", "a list of pixels");
    for (const auto& pixel : *pixels) {
        const auto place = whole_numbers(pixel, "frame.filters.hot_pixels", 0, longest_side - 1);
        if (place.size() != 2) throw wrong_entry("frame.filters.hot_pixels", "a column and a row each");
        spec.hot_pixels.insert({place[0], place[1]});
    }
}

inline void refuse_other_entries(const json::Value& object, const std::set<std::string>& known,
                                 const std::string& where) {
    const auto* entries = std::get_if<json::Object>(&object.is);
    if (!entries && !object.is_null()) throw wrong_entry(where, "an object");
    if (entries)
        for (const auto& [name, value] : *entries)
            if (!known.count(name)) throw unsupported(where + "." + name);
}

inline FrameSpec read_frame_spec(const json::Value& card) {
    refuse_other_entries(
        card,
        {"kind", "steps", "sensor_size", "dt_us", "events_per_frame", "grid", "by", "remainder", "downscale", "filters",
         "rotate", "flip", "crop", "center_crop", "scale", "scale_by", "cap", "picture"},
        "frame");
    refuse_other_entries(card["filters"], {"hot_pixels", "background_us", "refractory_us"}, "frame.filters");
    FrameSpec spec;
    const auto* kind = std::get_if<std::string>(&card["kind"].is);
    if (!kind || (*kind != "stream" && *kind != "recording"))
        throw unsupported("frames of kind " + (kind ? *kind : "?"));
    spec.whole_recording = *kind == "recording";
    spec.steps = whole_number(card["steps"], "frame.steps", 1, 1 << 20);
    spec.sensor_size = size_entry(card["sensor_size"], "frame.sensor_size");
    const auto optional = [&](const char* name, std::int64_t most, std::int64_t otherwise) {
        return card[name].is_null() ? otherwise : whole_number(card[name], std::string("frame.") + name, 1, most);
    };
    spec.dt_us = optional("dt_us", 1'000'000'000'000, 0);
    spec.events_per_frame = optional("events_per_frame", std::int64_t{1} << 52, 0);
    spec.cap = optional("cap", 65535, 65535);
    spec.downscale = optional("downscale", longest_side, 1);
    if (spec.whole_recording ? spec.dt_us || spec.events_per_frame : !spec.dt_us == !spec.events_per_frame)
        throw wrong_entry("frame", "one of dt_us and events_per_frame for a stream, none for a recording");
    if (spec.whole_recording && card["by"].is_null()) throw wrong_entry("frame.by", "count or time");
    spec.by_time = choice(card["by"], "frame.by", {"count", "time"}) == "time";
    spec.drops = choice(card["remainder"], "frame.remainder", {"last", "drop"}) == "drop";
    // Before specs stated a grid it was that of the clock.
    spec.grid_of_clock = choice(card["grid"], "frame.grid", {"clock", "recording"}) == "clock";
    set_filters(spec, card["filters"]);
    set_geometry(spec, card);
    return spec;
}
