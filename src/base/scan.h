/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/scan.h - find the byte at which a run of text ends, 16 at a time where the machine can.
 *
 * Text protocols spend their time looking for the end of a name, a word or a value.  SSE2 (every
 * x86-64) and NEON (every aarch64) compare 16 bytes in one instruction; elsewhere a plain loop
 * does. Nothing outside [at, end) is ever read, so the buffers need no padding.
 */
#ifndef BASE_SCAN_H
#define BASE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__) && !defined(SCAN_PORTABLE)
#define SCAN_SSE2 1
#include <emmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(SCAN_PORTABLE)
#define SCAN_NEON 1
#include <arm_neon.h>
#endif

/* Where a scan stops.  Always a constant in the call: the compiler makes one loop for each. */
enum scan_stop {
    SCAN_NAME,    /* at ':', a space or a control byte below it: the end of a field name */
    SCAN_WORD,    /* at a space or any control byte: the end of a request target */
    SCAN_CONTROL, /* at a control byte other than tab: the end of a field value */
};

static inline bool
scan_stops_at(unsigned char c, enum scan_stop stop)
{
    switch (stop) {
    case SCAN_NAME: return c <= ' ' || c == ':';
    case SCAN_WORD: return c <= ' ' || c == 0x7F;
    case SCAN_CONTROL: return (c < ' ' && c != '\t') || c == 0x7F;
    }
    return true;
}

#if defined(SCAN_SSE2)

/* One bit for each of the 16 bytes that stop the scan. */
static inline __attribute__((always_inline)) uint32_t
scan_mask(const char *at, enum scan_stop stop)
{
    __m128i v = _mm_loadu_si128((const __m128i *) (const void *) at);
    __m128i low = _mm_set1_epi8(stop == SCAN_CONTROL ? 0x1F : 0x20);
    __m128i hit = _mm_cmpeq_epi8(_mm_min_epu8(v, low), v);

    if (stop == SCAN_CONTROL)
        hit = _mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), hit);
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8(stop == SCAN_NAME ? ':' : 0x7F)));
    return (uint32_t) _mm_movemask_epi8(hit);
}

/* The first byte of the next 16 that stops the scan, or NULL. */
static inline __attribute__((always_inline)) const char *
scan_16(const char *at, enum scan_stop stop)
{
    uint32_t mask = scan_mask(at, stop);

    return mask ? at + __builtin_ctz(mask) : NULL;
}

/* Two vectors, one branch: most values are shorter than 32 bytes, and a branch that always goes the
 * same way is one that the processor predicts. */
static inline __attribute__((always_inline)) const char *
scan_32(const char *at, enum scan_stop stop)
{
    uint32_t mask = scan_mask(at, stop) | scan_mask(at + 16, stop) << 16;

    return mask ? at + __builtin_ctz(mask) : NULL;
}

#elif defined(SCAN_NEON)

static inline __attribute__((always_inline)) const char *
scan_16(const char *at, enum scan_stop stop)
{
    uint8x16_t v = vld1q_u8((const uint8_t *) at);
    uint8x16_t hit = vcleq_u8(v, vdupq_n_u8(stop == SCAN_CONTROL ? 0x1F : 0x20));
    uint64_t mask;

    if (stop == SCAN_CONTROL)
        hit = vbicq_u8(hit, vceqq_u8(v, vdupq_n_u8('\t')));
    hit = vorrq_u8(hit, vceqq_u8(v, vdupq_n_u8(stop == SCAN_NAME ? ':' : 0x7F)));
    /* NEON has no movemask; narrowing by four bits leaves four bits for each byte. */
    mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
    return mask ? at + (__builtin_ctzll(mask) >> 2) : NULL;
}

static inline __attribute__((always_inline)) const char *
scan_32(const char *at, enum scan_stop stop)
{
    const char *found = scan_16(at, stop);

    return found ? found : scan_16(at + 16, stop);
}

#endif

/* The first byte in [at, end) that stops the scan, or end. */
static inline __attribute__((always_inline)) const char *
scan_until(const char *at, const char *end, enum scan_stop stop)
{
#if defined(SCAN_SSE2) || defined(SCAN_NEON)
    const char *found;

    for (; end - at >= 32; at += 32)
        if ((found = scan_32(at, stop)))
            return found;
    if (end - at >= 16) {
        if ((found = scan_16(at, stop)))
            return found;
        at += 16;
    }
#endif
    while (at < end && !scan_stops_at((unsigned char) *at, stop))
        at++;
    return at;
}

#endif
