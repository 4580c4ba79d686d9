// A model that stdl-events exported: its card, and one step of it in onnxruntime. The caller's frames, our state.
#pragma once
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "decision.hpp"
#include "frame_spec.hpp"
#include "json.hpp"
#include "refusal.hpp"

struct Card {
    FrameSpec frame;
    std::vector<std::string> labels;
    std::vector<std::vector<std::int64_t>> state_shapes;
    bool resets = true;        // the state, at the first frame of each clip
    bool keeps_bytes = false;  // potentials are integers of eight bits, not float32
    double temperature = 1;    // divides the mean logits before the softmax
    Thresholds decision;

    static Card parse(const std::string& text) {
        const json::Value card = json::Parser(text).document();
        if (!card["schema_version"].is_null()) whole_number(card["schema_version"], "schema_version", 1, 1);
        Card read;
        read.frame = read_frame_spec(card["frame"]);
        std::set<std::string> differ;
        const auto* labels = std::get_if<json::List>(&card["labels"].is);
        for (std::size_t n = 0; labels && n < labels->size(); ++n) {
            const auto* name = std::get_if<std::string>(&(*labels)[n].is);
            if (!name || !differ.insert(*name).second) throw wrong_entry("labels", "distinct class names");
            read.labels.push_back(*name);
        }
        if (read.labels.empty()) throw wrong_entry("labels", "class names");
        refuse_other_entries(card["state_format"], {"dtype", "scale"}, "state_format");
        read.keeps_bytes = !card["state_format"].is_null();
        if (read.keeps_bytes) choice(card["state_format"]["dtype"], "state_format.dtype", {"int8"});
        std::int64_t values = static_cast<std::int64_t>(read.frame.values());
        const auto* shapes = std::get_if<json::List>(&card["state_shapes"].is);
        if (!shapes) throw wrong_entry("state_shapes", "a list of shapes");
        for (const auto& shape : *shapes) {
            read.state_shapes.push_back(whole_numbers(shape, "state_shapes", 1, most_values));
            std::int64_t product = 1;
            for (const std::int64_t side : read.state_shapes.back())
                product = std::min(product * side, most_values + 1);
            values = std::min(values + product, most_values + 1);
        }
        if (values > most_values) throw wrong_entry("frame and state_shapes", "at most 2^28 values in all");
        if (card["readout"].is_null()) throw wrong_entry("readout", "reset or sliding");
        read.resets = choice(card["readout"], "readout", {"reset", "sliding"}) == "reset";
        read.temperature = number(card["temperature"], "temperature", 1e-3, 1e3, 1);
        if (number(card["steps_per_call"], "steps_per_call", 1, 4096, 1) > 1)
            throw unsupported("whole clips in a call (export it without --whole-clip)");
        read.set_decision(card["decision"]);
        return read;
    }

private:
    static constexpr std::int64_t most_values = 1 << 28;  // of a frame and the states

    static double number(const json::Value& value, const std::string& name, double least, double most,
                         double otherwise) {
        if (value.is_null()) return otherwise;
        const auto* found = std::get_if<double>(&value.is);
        if (!found || *found < least || *found > most)
            throw wrong_entry(name, "a number from " + json::text(least) + " to " + json::text(most));
        return *found;
    }
    void set_decision(const json::Value& thresholds) {
        refuse_other_entries(thresholds, {"unknown_below", "still_below", "hold", "decide_at"}, "decision");
        const auto least = [&](const char* name, double from, double to) {
            return number(thresholds[name], std::string("decision.") + name, from, to, 0);
        };
        decision.unknown_below = least("unknown_below", 0, 1);
        decision.still_below = least("still_below", 0, 1e300);
        if (!thresholds["hold"].is_null())
            decision.hold = whole_number(thresholds["hold"], "decision.hold", 1, std::int64_t{1} << 52);
        if (thresholds["decide_at"].is_null()) return;
        decision.decide_at = least("decide_at", 1e-300, 1);
        if (!resets) throw unsupported("decide_at, and a state that goes on over clips (use --decide-at none)");
    }
};

class Model {
public:
    // Args: threads: within one step.
    Model(const std::string& path, int threads)
        : path_(path), session_(open(path, threads)), card_(Card::parse(card_text())) {
        names_ = {"frame", "logits"};
        for (std::size_t n = 0; n < card_.state_shapes.size(); ++n)
            for (const char* name : {"state_", "next_state_"}) names_.push_back(name + std::to_string(n));
        const FrameSpec& frame = card_.frame;
        frame_.resize(frame.values());
        logits_.resize(card_.labels.size());
        check_number(true);
        check_number(false);
        check(0, {2, frame.height, frame.width});
        check(1, {static_cast<std::int64_t>(card_.labels.size())});
        for (const std::size_t side : {0, 1}) {
            in_[side].push_back(floats(frame_, {1, 2, frame.height, frame.width}));
            out_[side].push_back(floats(logits_, {1, static_cast<std::int64_t>(logits_.size())}));
        }
        for (std::size_t n = 0; n < card_.state_shapes.size(); ++n) add_state(n);
        for (std::size_t n = 0; n < names_.size(); ++n) (n % 2 ? names_out_ : names_in_).push_back(names_[n].c_str());
    }

    const Card& card() const { return card_; }

    // The state before a clip: zeros.
    void reset() {
        for (auto& state : states_[now_]) std::fill(state.begin(), state.end(), '\0');
    }

    // Advances the state by a frame of counts [2, H, W]; returns the logits, one for each label.
    const std::vector<float>& step(const std::vector<float>& counts) {
        std::copy(counts.begin(), counts.end(), frame_.begin());
        session_.Run(Ort::RunOptions{nullptr}, names_in_.data(), in_[now_].data(), names_in_.size(), names_out_.data(),
                     out_[now_].data(), names_out_.size());
        now_ = 1 - now_;
        return logits_;
    }

private:
    using Shape = std::vector<std::int64_t>;

    static Ort::Session open(const std::string& path, int threads) {
        if (!OrtGetApiBase()->GetApi(ORT_API_VERSION))
            throw Refusal("onnxruntime", std::string("the library of version ") + OrtGetApiBase()->GetVersionString(),
                          "one that has its headers' API " + std::to_string(ORT_API_VERSION),
                          "use one release for both");
        static Ort::Env env(ORT_LOGGING_LEVEL_FATAL, "recognise");  // what fails is thrown
        std::ifstream file(path, std::ios::binary);
        const std::string content{std::istreambuf_iterator<char>(file), {}};
        if (!file || content.empty()) throw Refusal(path, "no file that can be read", "a model", "correct the path");
        Ort::SessionOptions options;
        options.SetIntraOpNumThreads(threads);
        options.SetInterOpNumThreads(1);
        try {
            return Ort::Session(env, content.data(), content.size(), options);
        } catch (const Ort::Exception& error) {
            throw Refusal(path, std::string("a file that onnxruntime refuses (") + error.what() + ")",
                          "an exported model", "export the model again");
        }
    }

    std::string card_text() const {
        Ort::AllocatorWithDefaultOptions allocator;
        const auto text =
            session_.GetModelMetadata().LookupCustomMetadataMapAllocated("stdl_events.model_card", allocator);
        if (!text) throw Refusal(path_, "no model card in its metadata", "one", "export it with stdl-events");
        return text.get();
    }

    void check_number(bool inputs) const {
        const std::size_t found = inputs ? session_.GetInputCount() : session_.GetOutputCount();
        if (found != names_.size() / 2)
            throw Refusal(path_, std::to_string(found) + (inputs ? " inputs" : " outputs"),
                          std::to_string(names_.size() / 2) + ", as its model card says", "export the model again");
    }

    // Compares an input (even) or output (odd) of the file with the card's shape, which has no batch.
    void check(std::size_t n, const Shape& shape, bool in_bytes = false) const {
        const auto type = in_bytes ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        Ort::AllocatorWithDefaultOptions allocator;
        for (std::size_t place = 0; place < names_.size() / 2; ++place) {
            const auto name = n % 2 ? session_.GetOutputNameAllocated(place, allocator)
                                    : session_.GetInputNameAllocated(place, allocator);
            if (name.get() != names_[n]) continue;
            const auto info = n % 2 ? session_.GetOutputTypeInfo(place) : session_.GetInputTypeInfo(place);
            if (info.GetONNXType() != ONNX_TYPE_TENSOR) break;
            const auto tensor = info.GetTensorTypeAndShapeInfo();
            const Shape declared = tensor.GetShape();
            if (tensor.GetElementType() != type || declared.empty() || declared[0] > 1 ||
                Shape(declared.begin() + 1, declared.end()) != shape)
                break;
            return;
        }
        throw Refusal(path_, "another " + names_[n],
                      std::string(in_bytes ? "int8" : "float32") +
                          " of the shape in its model card, in batches of one or free",
                      "export the model again as float32, or use stdl-events live");
    }

    void add_state(std::size_t n) {
        Shape shape = card_.state_shapes[n];
        check(2 + 2 * n, shape, card_.keeps_bytes);
        check(3 + 2 * n, shape, card_.keeps_bytes);
        std::size_t bytes = card_.keeps_bytes ? 1 : sizeof(float);
        for (const std::int64_t side : shape) bytes *= static_cast<std::size_t>(side);
        shape.insert(shape.begin(), 1);
        const auto type = card_.keeps_bytes ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        for (const std::size_t side : {0, 1}) {
            auto& state = states_[side].emplace_back(bytes);
            in_[side].push_back(value(state.data(), bytes, shape, type));
            out_[1 - side].push_back(value(state.data(), bytes, shape, type));
        }
    }

    static Ort::Value floats(std::vector<float>& values, const Shape& shape) {
        return value(values.data(), values.size() * sizeof(float), shape, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
    }

    static Ort::Value value(void* data, std::size_t bytes, const Shape& shape, ONNXTensorElementDataType type) {
        static const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        return Ort::Value::CreateTensor(memory, data, bytes, shape.data(), shape.size(), type);
    }

    std::string path_;
    Ort::Session session_;
    Card card_;
    std::vector<std::string> names_;  // an input and an output in turns
    std::vector<const char*> names_in_, names_out_;
    std::vector<float> frame_, logits_;
    // A step reads the states of one side and writes those of the other.
    std::array<std::deque<std::vector<char>>, 2> states_;
    std::array<std::vector<Ort::Value>, 2> in_, out_;
    std::size_t now_ = 0;
};
