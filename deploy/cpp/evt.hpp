// Events of Prophesee's RAW encodings EVT 2.0 and EVT 3.0, from a file or from the standard input as they come.
//
// Sources: Prophesee's documentation of EVT 2.0 and EVT 3.0. `stdl-events convert FILE OUT.raw` writes both.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "refusal.hpp"

struct Event {
    std::int64_t t_us;
    std::uint32_t x, y;
    bool brighter;
};

using Size = std::pair<std::int64_t, std::int64_t>;  // width, height

// A decimal number of at most `digits` digits.
inline std::optional<std::int64_t> read_number(const std::string& text, std::size_t digits) {
    if (text.empty() || text.size() > digits || text.find_first_not_of("0123456789") != std::string::npos) return {};
    return std::stoll(text);
}

// A size written as 1280x720.
inline std::optional<Size> read_size(const std::string& text) {
    const auto cross = text.find('x');
    if (cross == std::string::npos) return {};
    const auto width = read_number(text.substr(0, cross), 6), height = read_number(text.substr(cross + 1), 6);
    return width && height ? std::optional<Size>({*width, *height}) : std::nullopt;
}

// A counter of some bits as a clock without end. A long step back is a wrap; of a counter of hours only a very long
// one, since a shorter one is rather a reset. After a wrap, a long step forward is a late event from before it.
class UnwrappedClock {
public:
    explicit UnwrappedClock(int bits)
        : bits_(bits),
          half_(std::int64_t{1} << (bits - 1)),
          wrap_(bits >= 28 ? std::int64_t{3} << (bits - 2) : half_) {}

    std::int64_t operator()(std::int64_t counter) {
        const std::int64_t step = last_ < 0 ? 0 : counter - last_;
        if (step < -wrap_) ++wraps_;
        if (step > half_ && wraps_ > 0) --wraps_;
        last_ = counter;
        return counter + (wraps_ << bits_);
    }

private:
    int bits_;
    std::int64_t half_, wrap_, last_ = -1, wraps_ = 0;
};

class Evt2 {
public:
    static constexpr std::size_t word_bytes = 4;

    void push(std::uint32_t word, std::vector<Event>& events) {
        const std::uint32_t kind = word >> 28;
        if (kind == 8)
            high_ = clock_(word & 0xFFFFFFF);
        else if (kind <= 1 && high_ >= 0)
            events.push_back({high_ << 6 | (word >> 22 & 0x3F), word >> 11 & 0x7FF, word & 0x7FF, kind == 1});
    }

private:
    UnwrappedClock clock_{28};
    std::int64_t high_ = -1;
};

class Evt3 {
public:
    static constexpr std::size_t word_bytes = 2;

    void push(std::uint32_t word, std::vector<Event>& events) {
        const std::uint32_t value = word & 0xFFF, coordinate = word & 0x7FF;
        const bool brighter = (word & 0x800) != 0;
        switch (word >> 12) {
            case 0:
                row_ = coordinate;
                break;
            case 2:
                add(coordinate, brighter, events);
                break;
            case 3:
                column_ = coordinate, vector_is_brighter_ = brighter;
                break;
            case 4:
                add_vector(value, 12, events);
                break;
            case 5:
                add_vector(value & 0xFF, 8, events);
                break;
            case 6:
                low_ = value;
                break;
            case 8:
                // A new high part restarts the low part at 0; a repeated one changes nothing.
                if (const std::int64_t high = clock_(value); high != high_) high_ = high, low_ = 0;
                break;
            default:
                break;  // triggers and other things that are no events
        }
    }

private:
    void add(std::uint32_t x, bool brighter, std::vector<Event>& events) const {
        if (high_ >= 0 && row_) events.push_back({high_ << 12 | low_, x, *row_, brighter});
    }
    void add_vector(std::uint32_t bits, std::uint32_t width, std::vector<Event>& events) {
        if (!column_) return;
        for (std::uint32_t n = 0; n < width; ++n)
            if (bits >> n & 1) add(*column_ + n, vector_is_brighter_, events);
        // A column beyond every sensor stays there: it must not wrap round to a pixel.
        column_ = std::min<std::uint32_t>(*column_ + width, 0xFF00);
    }

    UnwrappedClock clock_{12};
    std::int64_t high_ = -1, low_ = 0;
    std::optional<std::uint32_t> row_, column_;
    bool vector_is_brighter_ = false;
};

class EvtReader {
public:
    // Args: path: a file, or "-" for the standard input.
    explicit EvtReader(std::string path) : path_(std::move(path)) {
        descriptor_ = path_ == "-" ? STDIN_FILENO : ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
        if (descriptor_ < 0) throw Refusal(path_, std::strerror(errno), "a recording", "correct the path");
        read_header();
    }
    ~EvtReader() {
        if (descriptor_ > STDIN_FILENO) ::close(descriptor_);
    }
    EvtReader(const EvtReader&) = delete;
    EvtReader& operator=(const EvtReader&) = delete;

    std::optional<Size> sensor_size;  // of the header

    // Replaces `events` by those of the next bytes; false at the end.
    bool read(std::vector<Event>& events) {
        events.clear();
        decode(events);  // what came with the header
        if (!events.empty()) return true;
        const bool more = fill();
        if (!more && used_ != data_.size())
            throw Refusal(path_, "an end inside a word of EVT", "whole words", "copy the recording again");
        decode(events);
        return more;
    }

private:
    static constexpr std::size_t piece_bytes = 1 << 16, longest_header = 1 << 20;

    bool fill() {
        data_.erase(0, used_);
        used_ = 0;
        const std::size_t before = data_.size();
        data_.resize(before + piece_bytes);
        ssize_t got;
        do got = ::read(descriptor_, data_.data() + before, piece_bytes);
        while (got < 0 && errno == EINTR);
        data_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        if (got < 0) throw Refusal(path_, std::strerror(errno), "a recording", "correct the path");
        return got > 0;
    }

    void decode(std::vector<Event>& events) {
        is_evt3_ ? decode(evt3_, events) : decode(evt2_, events);
        for (Event& event : events) event.t_us += t0_us_;
    }

    template <class Decoder>
    void decode(Decoder& decoder, std::vector<Event>& events) {
        for (; used_ + Decoder::word_bytes <= data_.size(); used_ += Decoder::word_bytes) {
            std::uint32_t word = 0;
            for (std::size_t n = 0; n < Decoder::word_bytes; ++n)
                word |= std::uint32_t{static_cast<unsigned char>(data_[used_ + n])} << (8 * n);
            decoder.push(word, events);
        }
    }

    // One line of the header without its "% "; nothing where the events begin.
    std::optional<std::string> header_line() {
        for (std::size_t at = used_;; ++at) {
            if (at == data_.size()) {
                const std::size_t length = at - used_;
                if (length > longest_header || (!fill() && length > 1))
                    throw Refusal(path_, "a header without an end", "lines that begin with %",
                                  "copy the recording again");
                if (data_.size() == length) return {};
                at = used_ + length;
            }
            const auto c = static_cast<unsigned char>(data_[at]);
            const std::size_t place = at - used_;
            if ((place == 0 && c != '%') || (place == 1 && c != ' ')) return {};
            if (c == '\n') {
                std::string line = data_.substr(used_ + 2, place - 2);
                used_ = at + 1;
                while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
                return line;
            }
            if (c < 0x20 && c != '\t' && c != '\r') return {};
        }
    }

    void read_header() {
        std::map<std::string, std::string> values;
        while (const auto line = header_line()) {
            const auto blank = std::min(line->find(' '), line->size());
            std::string keyword = line->substr(0, blank);
            for (char& c : keyword) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            if (keyword == "end") break;
            values[keyword] = line->substr(std::min(line->find_first_not_of(' ', blank), line->size()));
        }
        // Such as "EVT3;height=720;width=1280".
        std::string format = values["format"];
        for (std::size_t start = 0; start < format.size();) {
            const std::size_t stop = std::min(format.find(';', start), format.size()), equals = format.find('=', start);
            if (equals < stop)
                values["=" + format.substr(start, equals - start)] = format.substr(equals + 1, stop - equals - 1);
            start = stop + 1;
        }
        const std::string named = format.substr(0, format.find(';'));
        const std::string version = values.count("evt") ? values["evt"] : named;
        is_evt3_ = version == "3.0" || version == "EVT3";
        if (!is_evt3_ && version != "2.0" && version != "EVT2")
            throw Refusal(path_, version.empty() ? "no header of EVT" : "the encoding " + version, "EVT 2.0 or 3.0",
                          "convert it with stdl-events convert RECORDING OUT.raw");
        for (const char* order : {"endianness", "=endianness"})
            if (values.count(order) && values[order] != "little")
                throw Refusal(path_, "the byte order " + values[order], "little",
                              "convert it with stdl-events convert");
        t0_us_ = read_number(values["t0"], 15).value_or(0);
        for (const auto& written :
             {values["geometry"], values["=width"] + "x" + values["=height"], values["width"] + "x" + values["height"]})
            if (!sensor_size) sensor_size = read_size(written);
    }

    std::string path_, data_;
    std::size_t used_ = 0;
    int descriptor_ = -1;
    bool is_evt3_ = false;
    std::int64_t t0_us_ = 0;
    Evt2 evt2_;
    Evt3 evt3_;
};
