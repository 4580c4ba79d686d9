// Classes of recordings, or of the events that a camera's driver writes to the standard input, by an exported model.
//
//     recognise MODEL.onnx RECORDING.raw... [--sensor WxH] [--threads N]
//
// Prints a line of JSON for each clip, as `stdl-events live --json-lines` does, and a summary. Exit code 2: wrong
// input.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "evt.hpp"
#include "frames.hpp"
#include "model.hpp"
#include "readout.hpp"

struct Arguments {
    std::vector<std::string> paths;  // the model, then recordings
    std::optional<Size> sensor;
    int threads = 1;
};

// One line on the standard error; no text of a path or a card moves the terminal's cursor.
static void say(const char* kind, std::string line) {
    for (std::size_t n = 0; n < line.size(); ++n) {
        const auto c = static_cast<unsigned char>(line[n]), next = static_cast<unsigned char>(line.c_str()[n + 1]);
        if (c < 0x20 || c == 0x7F) line[n] = ' ';
        if (c == 0xC2 && next >= 0x80 && next < 0xA0) line[n] = line[n + 1] = ' ';
    }
    std::cerr << "recognise: " << kind << ": " << line << "\n";
}

static Arguments parse(const std::vector<std::string>& words) {
    Arguments read;
    for (std::size_t n = 0; n < words.size(); ++n) {
        const std::string value = n + 1 < words.size() ? words[n + 1] : "";
        const auto threads = read_number(value, 3);
        if (words[n] == "--sensor" && (read.sensor = read_size(value)))
            ++n;
        else if (words[n] == "--threads" && threads && *threads > 0)
            read.threads = static_cast<int>(*threads), ++n;
        else if (words[n] == "-" || words[n].substr(0, 1) != "-")
            read.paths.push_back(words[n]);
        else
            throw Refusal("arguments", words[n] + " " + value, "--sensor WxH or --threads N", "correct it");
    }
    if (read.paths.size() < 2)
        throw Refusal("arguments", std::to_string(read.paths.size()) + " paths", "a model and recordings",
                      "write recognise MODEL.onnx RECORDING.raw... where - is the standard input");
    return read;
}

static std::string fitting(const Size& size, const Size& trained) {
    const auto& [width, height] = trained;
    if (size == Size{height, width}) return "turn it with stdl-events convert --rotate 90";
    if (size.first >= width && size.second >= height) return "cut or shrink it with stdl-events convert";
    return "use a recording of at least " + size_text(width, height) + " pixels, or train a model for this size";
}

static void recognise(Model& model, const std::string& path, const std::optional<Size>& given) {
    EvtReader reader(path);
    const Size trained = model.card().frame.sensor_size;
    const auto size = given ? given : reader.sensor_size;
    if (!size) throw Refusal(path, "no sensor size in its header", "one", "give it with --sensor WxH");
    if (*size != trained)
        throw Refusal(path, "a sensor of " + size_text(size->first, size->second),
                      size_text(trained.first, trained.second) + ", on which the model was trained",
                      fitting(*size, trained));
    Readout readout(model, path, std::cout);
    Framer framer(model.card().frame, path, [&readout](const Frame& frame) { readout.push(frame); });
    std::vector<Event> events;
    while (reader.read(events)) framer.push(events);
    framer.finish();
    readout.finish();
    const double steps = static_cast<double>(std::max<std::int64_t>(readout.frames, 1));
    std::cout << "{\"summary\": {\"recording\": " << json::text(path) << ", \"clips\": " << readout.clips
              << ", \"early_clips\": " << readout.early_clips << ", \"frames\": " << readout.frames << ", \"incomplete_clips\": " << readout.incomplete
              << ", \"events\": " << framer.events << ", \"outside_events\": " << framer.outside
              << ", \"late_events\": " << framer.late << ", \"filtered_events\": " << framer.filtered
              << ", \"cropped_events\": " << framer.cropped
              << ", \"step_us\": {\"mean\": " << json::text(readout.step_us / steps)
              << ", \"max\": " << json::text(readout.slowest_us) << "}}}" << std::endl;
    if (!std::cout)
        throw Refusal("standard output", "no place for more", "one that takes the lines", "free some space");
    if (framer.outside || framer.late)
        say("warning", path + ": " + std::to_string(framer.outside) + " events outside the sensor and " +
                           std::to_string(framer.late) + " late events are in no frame");
}

int main(int count, char** words) try {
    // The official builds of onnxruntime keep an identifier of the device and send measurements, unless told not to.
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    const Arguments arguments = parse({words + 1, words + count});
    const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    if (arguments.threads > cores)
        say("warning", "this machine has " + std::to_string(cores) + " cores, so as many threads are used");
    Model model(arguments.paths.front(), std::min(arguments.threads, cores));
    int exit_code = 0;
    for (std::size_t n = 1; n < arguments.paths.size(); ++n) {
        try {
            recognise(model, arguments.paths[n], arguments.sensor);
        } catch (const Refusal& error) {  // the other recordings follow
            say("error", error.what());
            exit_code = 2;
        }
    }
    return exit_code;
} catch (const std::exception& error) {
    say("error", error.what());
    return 2;
}
