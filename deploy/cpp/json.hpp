// Reading of JSON (RFC 8259), and writing of its strings and numbers. A model card needs no more.
#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "refusal.hpp"

namespace json {

struct Value;
using List = std::vector<Value>;
using Object = std::vector<std::pair<std::string, Value>>;

struct Value {
    std::variant<std::nullptr_t, bool, double, std::string, List, Object> is = nullptr;

    bool is_null() const { return std::holds_alternative<std::nullptr_t>(is); }
    // The entry of an object; null if it is missing, as the entries with a default are in a card.
    const Value& operator[](std::string_view name) const;
};

inline const Value null_value;

inline const Value& Value::operator[](std::string_view name) const {
    if (const auto* object = std::get_if<Object>(&is))
        for (const auto& [key, value] : *object)
            if (key == name) return value;
    return null_value;
}

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Value document() {
        Value value = element(0);
        blanks();
        if (at_ != text_.size()) fail("more after the end");
        return value;
    }

private:
    static constexpr int deepest = 64;

    [[noreturn]] void fail(const std::string& got) const {
        throw Refusal("model card", got + " at character " + std::to_string(at_), "JSON", "export the model again");
    }
    void blanks() {
        while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
    }
    bool take(char wanted) {
        blanks();
        if (at_ == text_.size() || text_[at_] != wanted) return false;
        return ++at_, true;
    }
    void need(char wanted) {
        if (!take(wanted)) fail(std::string("no '") + wanted + "'");
    }
    Value word(std::string_view wanted, Value value) {
        if (text_.substr(at_, wanted.size()) != wanted) fail("an unknown word");
        at_ += wanted.size();
        return value;
    }
    Value element(int depth) {
        if (depth > deepest) fail("too many levels");
        blanks();
        switch (at_ < text_.size() ? text_[at_] : '\0') {
            case '{':
                return object(depth);
            case '[':
                return list(depth);
            case '"':
                return Value{string()};
            case 't':
                return word("true", Value{true});
            case 'f':
                return word("false", Value{false});
            case 'n':
                return word("null", Value{});
            default:
                return Value{number()};
        }
    }
    Value object(int depth) {
        Object object;
        need('{');
        if (take('}')) return Value{std::move(object)};
        do {
            blanks();
            std::string key = string();
            need(':');
            object.emplace_back(std::move(key), element(depth + 1));
        } while (take(','));
        need('}');
        return Value{std::move(object)};
    }
    Value list(int depth) {
        List list;
        need('[');
        if (take(']')) return Value{std::move(list)};
        do list.push_back(element(depth + 1));
        while (take(','));
        need(']');
        return Value{std::move(list)};
    }
    double number() {
        const std::string digits(text_.substr(at_, text_.find_first_not_of("+-.0123456789eE", at_) - at_));
        char* end = nullptr;
        const double value = std::strtod(digits.c_str(), &end);
        if (digits.empty() || *end != '\0' || !std::isfinite(value)) fail("no value");
        at_ += digits.size();
        return value;
    }
    std::string string() {
        std::string read;
        if (!take('"')) fail("no string");
        for (;;) {
            if (at_ == text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20) fail("an open string");
            const char c = text_[at_++];
            if (c == '"') return read;
            if (c == '\\')
                escaped(read);
            else
                read += c;
        }
    }
    void escaped(std::string& read) {
        constexpr std::string_view names = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
        const char c = at_ < text_.size() ? text_[at_++] : '\0';
        if (const std::size_t place = names.find(c); place != std::string_view::npos && c != '\0') {
            read += meant[place];
            return;
        }
        if (c != 'u') fail("an unknown escape");
        std::uint32_t code = hex4();
        if (code >= 0xD800 && code < 0xDC00) {
            if (text_.substr(at_, 2) != "\\u") fail("half a character");
            at_ += 2;
            const std::uint32_t low = hex4();
            if (low < 0xDC00 || low > 0xDFFF) fail("half a character");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code <= 0xDFFF) {
            fail("half a character");
        }
        append_utf8(read, code);
    }
    std::uint32_t hex4() {
        const std::string digits(text_.substr(at_, 4));
        if (digits.size() != 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
            fail("an unknown escape");
        at_ += 4;
        return static_cast<std::uint32_t>(std::strtoul(digits.c_str(), nullptr, 16));
    }
    static void append_utf8(std::string& read, std::uint32_t code) {
        const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        constexpr unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
        read += static_cast<char>(lead[more] | (code >> (6 * more)));
        for (int n = more - 1; n >= 0; --n) read += static_cast<char>(0x80 | ((code >> (6 * n)) & 0x3F));
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

inline std::string text(double value) {
    char digits[32];
    return std::string(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

inline std::string text(std::string_view string) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string written = "\"";
    for (const char c : string) {
        const auto code = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\')
            (written += '\\') += c;
        else if (code < 0x20)
            ((written += "\\u00") += hex[code >> 4]) += hex[code & 15];
        else
            written += c;
    }
    return written += '"';
}

}  // namespace json
