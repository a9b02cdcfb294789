#include "base/text.h"
#include "base/err.h"

static const char lower_digits[] = "0123456789abcdef";
static const char upper_digits[] = "0123456789ABCDEF";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_hex(struct span bytes, char *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        *out++ = lower_digits[bytes.ptr[i] >> 4];
        *out++ = lower_digits[bytes.ptr[i] & 15];
    }
    *out = '\0';
}

int text_unhex(struct span hex, uint8_t *out, size_t out_len)
{
    if (hex.len % 2 != 0 || hex.len / 2 != out_len)
        return ERR_SYNTAX;
    for (size_t i = 0; i < out_len; i++) {
        int high = text_hex_digit(hex.ptr[2 * i]), low = text_hex_digit(hex.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_SYNTAX;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

void text_base64(struct span bytes, char *out)
{
    const uint8_t *in = bytes.ptr;
    size_t left = bytes.len;
    for (; left >= 3; left -= 3, in += 3) {
        uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        *out++ = base64_digits[group >> 6 & 63];
        *out++ = base64_digits[group & 63];
    }
    if (left > 0) {
        uint32_t group = (uint32_t)in[0] << 16 | (left == 2 ? (uint32_t)in[1] << 8 : 0);
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        *out++ = left == 2 ? base64_digits[group >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = '\0';
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int text_unbase64(struct span text, uint8_t *out, size_t capacity, size_t *out_len)
{
    if (text.len % 4 != 0)
        return ERR_SYNTAX;
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
        padding++;
    size_t length = text.len / 4 * 3 - padding;
    if (length > capacity)
        return ERR_SYNTAX;
    for (size_t at = 0, written = 0; at < text.len; at += 4) {
        uint32_t group = 0;
        for (size_t i = at; i < at + 4; i++) {
            int value = i < text.len - padding ? base64_value(text.ptr[i]) : 0;
            if (value < 0)
                return ERR_SYNTAX;
            group = group << 6 | (uint32_t)value;
        }
        /* Bits behind the last byte must be zero: one text for one value. */
        for (int shift = 16; shift >= 0; shift -= 8) {
            uint8_t byte = (uint8_t)(group >> shift);
            if (written < length)
                out[written++] = byte;
            else if (byte != 0)
                return ERR_SYNTAX;
        }
    }
    *out_len = length;
    return 0;
}

static bool unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void text_uri_encode(struct buf *out, struct span s, bool keep_slash)
{
    size_t length = 0;
    for (size_t i = 0; i < s.len; i++)
        length += unreserved(s.ptr[i]) || (keep_slash && s.ptr[i] == '/') ? 1 : 3;
    uint8_t *at = buf_reserve(out, length);
    if (at == NULL)
        return;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (unreserved(c) || (keep_slash && c == '/')) {
            *at++ = c;
            continue;
        }
        *at++ = '%';
        *at++ = (uint8_t)upper_digits[c >> 4];
        *at++ = (uint8_t)upper_digits[c & 15];
    }
    out->len += length;
}

int text_uri_decode(struct span s, bool plus_is_space, uint8_t *out, size_t *out_len)
{
    size_t length = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '%') {
            if (s.len - i < 3 || text_unhex(span_of(s.ptr + i + 1, 2), &c, 1) != 0)
                return ERR_SYNTAX;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[length++] = c;
    }
    *out_len = length;
    return 0;
}

size_t text_utf8_length(struct span s)
{
    /* The Unicode Standard, table 3-7: the second byte's range depends on the first. */
    uint8_t first = s.ptr[0], low = 0x80, high = 0xbf;
    size_t length;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    if (first < 0xe0) {
        length = 2;
    } else if (first < 0xf0) {
        length = 3;
        low = first == 0xe0 ? 0xa0 : low;
        high = first == 0xed ? 0x9f : high;
    } else {
        length = 4;
        low = first == 0xf0 ? 0x90 : low;
        high = first == 0xf4 ? 0x8f : high;
    }
    if (s.len < length || s.ptr[1] < low || s.ptr[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((s.ptr[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

bool text_is_utf8(struct span s)
{
    while (s.len > 0) {
        size_t length = text_utf8_length(s);
        if (length == 0)
            return false;
        s = span_skip(s, length);
    }
    return true;
}
