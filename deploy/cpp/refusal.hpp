// The one kind of error of this program: the input is wrong. One line, exit code 2.
#pragma once
#include <stdexcept>
#include <string>

struct Refusal : std::runtime_error {
    Refusal(const std::string& subject, const std::string& got, const std::string& expected, const std::string& todo)
        : std::runtime_error(subject + ": got " + got + "; expected " + expected + "; " + todo) {}
};

inline std::string size_text(long long width, long long height) {
    return std::to_string(width) + "x" + std::to_string(height);
}
