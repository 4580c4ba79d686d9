// Decisions clip by clip: whether the most probable class is believed, when, and what replaces the one before. The rules
// are those of the package's Decider (stdl_events/live/decision.py).
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

struct Thresholds {
    double unknown_below = 0;         // probability of the most probable class
    double still_below = 0;           // events a second in the frames of the clip
    std::int64_t hold = 1;            // clips in a row in which something new must be seen
    std::optional<double> decide_at;  // probability that decides a clip before its end
};

struct Decision {
    std::optional<std::string> label;  // none for unknown and for a still scene
    std::string state;                 // recognised, unknown, still, or held: the one before stays
    std::string why;
    std::int64_t frames = 0;  // of the clip that it rests on

    std::string words() const { return label ? *label : state == "still" ? "nothing there" : "unknown"; }
    bool is_like(const Decision& other) const { return state == other.state && label == other.label; }
};

class Decider {
public:
    Decider(const Thresholds& thresholds, const std::vector<std::string>& labels)
        : thresholds_(thresholds), labels_(labels) {}

    void begin_clip() { is_decided_ = false; }

    // True if the next frame may decide: the last one of a clip, or any where clips are decided early.
    bool asks(std::int64_t frames, std::int64_t steps) const {
        return !is_decided_ && (frames == steps || thresholds_.decide_at);
    }

    // The decision of the clip if it is made after `frames` of its `steps` frames.
    std::optional<Decision> push(const std::vector<double>& probabilities, std::int64_t frames, std::int64_t steps,
                                 double events_per_s) {
        if (!asks(frames, steps)) return std::nullopt;
        const bool is_early = frames < steps;
        const double least = std::max(is_early ? *thresholds_.decide_at : 0, thresholds_.unknown_below);
        const Decision found = of_clip(probabilities, events_per_s, least);
        // What is unknown or still may change until the end.
        if (is_early && found.state != "recognised") return std::nullopt;
        Decision decision = held(found);
        if (is_early)
            decision.why = "early after " + std::to_string(frames) + " of " + std::to_string(steps) +
                           " frames: " + decision.why;
        decision.frames = frames;
        is_decided_ = true;
        return decision;
    }

private:
    static std::string text(const char* format, double value) {
        std::vector<char> written(400);  // %.0f of the largest double has 309 digits
        std::snprintf(written.data(), written.size(), format, value);
        return written.data();
    }

    Decision of_clip(const std::vector<double>& probabilities, double events_per_s, double unknown_below) const {
        if (events_per_s < thresholds_.still_below)
            return {std::nullopt, "still",
                    text("%.0f events/s", events_per_s) + text(", fewer than %g", thresholds_.still_below)};
        const auto most = std::max_element(probabilities.begin(), probabilities.end());
        const std::string& label = labels_[static_cast<std::size_t>(most - probabilities.begin())];
        const std::string seen = label + text(" %.2f", *most);
        if (*most < unknown_below) return {std::nullopt, "unknown", seen + text(", less than %g", unknown_below)};
        return {label, "recognised", seen + (unknown_below > 0 ? text(", at least %g", unknown_below) : ", the most")};
    }

    // `found`, or the decision before if `found` has not been seen often enough.
    Decision held(const Decision& found) {
        if (current_ && !found.is_like(*current_)) {
            count_ = other_ && found.is_like(*other_) ? count_ + 1 : 1;
            other_ = found;
            if (count_ < thresholds_.hold)
                return {current_->label, "held",
                        current_->words() + ": " + found.words() + " in " + std::to_string(count_) + " of " +
                            std::to_string(thresholds_.hold) + " clips in a row"};
        }
        current_ = found;
        other_.reset();
        return found;
    }

    const Thresholds& thresholds_;
    const std::vector<std::string>& labels_;
    std::optional<Decision> current_, other_;
    std::int64_t count_ = 0;
    bool is_decided_ = false;
};
