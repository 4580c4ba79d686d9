// The readout of clips: the softmax of the mean logits over time, the decision, and a line of JSON for each.
#pragma once
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "decision.hpp"
#include "frames.hpp"
#include "json.hpp"
#include "model.hpp"

class Readout {
public:
    Readout(Model& model, std::string recording, std::ostream& lines)
        : model_(model),
          recording_(std::move(recording)),
          lines_(lines),
          decider_(model.card().decision, model.card().labels) {
        model_.reset();
    }

    std::int64_t clips = 0, early_clips = 0, frames = 0, incomplete = 0;
    double step_us = 0, slowest_us = 0;

    void push(const Frame& frame) {
        const Card& card = model_.card();
        const bool is_first = std::exchange(is_first_, false);
        if (is_first || frame.step == 0) t_start_us_ = frame.t_start_us, events_ = 0, decider_.begin_clip();
        if (card.resets && frame.step == 0) logits_.clear(), model_.reset();
        if (card.resets && is_first) incomplete += is_cut_ = frame.step > 0;
        is_cut_ = is_cut_ && frame.step > 0;  // a clip that was not seen from its start has no prediction
        is_open_ = !is_cut_ && frame.step + 1 < card.frame.steps;
        if (is_cut_) return;
        const auto began = std::chrono::steady_clock::now();
        logits_.push_back(model_.step(frame.counts));
        const auto took = std::chrono::steady_clock::now() - began;
        if (static_cast<std::int64_t>(logits_.size()) > card.frame.steps) logits_.pop_front();
        const double took_us = std::chrono::duration<double, std::micro>(took).count();
        step_us += took_us, slowest_us = std::max(slowest_us, took_us), ++frames;
        clips += !is_open_;
        decide(frame, std::llround(took_us));
    }

    // The end of the source: an open clip is incomplete.
    void finish() {
        if (model_.card().resets) incomplete += is_open_;
    }

private:
    // Prints the clip at the frame that decides it.
    void decide(const Frame& frame, std::int64_t latency_us) {
        const Card& card = model_.card();
        if (card.decision.still_below > 0) events_ += std::accumulate(frame.counts.begin(), frame.counts.end(), 0.0);
        if (!decider_.asks(frame.step + 1, card.frame.steps)) return;
        const std::vector<double> mean = mean_logits();
        const auto best = static_cast<std::size_t>(std::max_element(mean.begin(), mean.end()) - mean.begin());
        std::vector<double> probabilities(mean.size());
        double sum = 0;
        for (std::size_t k = 0; k < mean.size(); ++k)
            sum += probabilities[k] = std::exp((mean[k] - mean[best]) / card.temperature);
        for (double& probability : probabilities) probability /= sum;
        const double rate = events_ * 1e6 / static_cast<double>(frame.t_end_us - t_start_us_);
        const auto decision = decider_.push(probabilities, frame.step + 1, card.frame.steps, rate);
        if (!decision) return;
        early_clips += is_open_;
        std::string line = "{\"recording\": " + json::text(recording_);
        const auto add = [&line](const char* name, const std::string& value) {
            ((line += ", \"") += name) += "\": " + value;
        };
        add("t_us", std::to_string(frame.t_end_us));
        add("label", json::text(card.labels[best]));
        add("probabilities", named(probabilities));
        add("logits", named(mean));
        add("latency_us", std::to_string(latency_us));
        add("clip", std::to_string(frame.clip));
        add("step", std::to_string(frame.step));
        add("final", is_open_ ? "false" : "true");
        add("decision", decision->label ? json::text(*decision->label) : "null");
        add("state", json::text(decision->state));
        add("why", json::text(decision->why));
        add("decided_after", std::to_string(decision->frames));
        add("t_start_us", std::to_string(t_start_us_));
        lines_ << line << "}" << std::endl;
    }

    std::vector<double> mean_logits() const {
        std::vector<double> mean(model_.card().labels.size());
        for (std::size_t k = 0; k < mean.size(); ++k) {
            for (const auto& logits : logits_) mean[k] += static_cast<double>(logits[k]);
            mean[k] /= static_cast<double>(logits_.size());
            if (!std::isfinite(mean[k]))
                throw Refusal(recording_, "logits that are not finite", "finite logits",
                              "export the model again as float32");
        }
        return mean;
    }

    std::string named(const std::vector<double>& values) const {
        std::string text;
        for (std::size_t k = 0; k < values.size(); ++k)
            text += (k ? ", " : "{") + json::text(model_.card().labels[k]) + ": " + json::text(values[k]);
        return text + "}";
    }

    Model& model_;
    std::string recording_;
    std::ostream& lines_;
    std::deque<std::vector<float>> logits_;  // of the last T frames
    Decider decider_;
    std::int64_t t_start_us_ = 0;
    double events_ = 0;  // in the frames of the clip, where a scene may be still
    bool is_first_ = true, is_cut_ = false, is_open_ = false;
};
