/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/test.h"
#include "config/units.h"

#define GOOD(read, text, expected)                                                                 \
    do {                                                                                           \
        uint64_t v_ = 0;                                                                           \
        EXPECT(read(SLICE(text), &v_));                                                            \
        EXPECT_EQ(v_, expected);                                                                   \
    } while (0)

TEST(sizes)
{
    static const char *const bad[] = {"",     "x",    "10M",        "10 MiB", "-1",
                                      "1.5",  "KiB",  "1e3",        "10mib",  "1,5GB",
                                      "1.B",  ".5GB", "8388608TiB", "0.1B",   "9223372036854775808",
                                      "1MiB2"};
    uint64_t v;

    GOOD(units_read_bytes, "0", 0);
    GOOD(units_read_bytes, "512", 512);
    GOOD(units_read_bytes, "512B", 512);
    GOOD(units_read_bytes, "16KiB", 16384);
    GOOD(units_read_bytes, "16kB", 16000);
    GOOD(units_read_bytes, "16KB", 16000);
    GOOD(units_read_bytes, "64MiB", 67108864);
    GOOD(units_read_bytes, "10GB", 10000000000);
    GOOD(units_read_bytes, "1.5TiB", 1649267441664);
    GOOD(units_read_bytes, "0.5KiB", 512);
    GOOD(units_read_bytes, "9223372036854775807", INT64_MAX);
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!units_read_bytes(slice_str(bad[i]), &v));
}

TEST(durations)
{
    static const char *const bad[] = {
        "",    "10",  "s",   "10 s", "10S", "30s1m", "1m1m",          "-1s",        "1s ",
        "1s2", "1.s", "1h,", "1min", "00",  "0.1us", "999999999999d", "0.0000001s", "1.2.3s"};
    uint64_t v;

    GOOD(units_read_duration, "0", 0);
    GOOD(units_read_duration, "0s", 0);
    GOOD(units_read_duration, "250ms", 250000);
    GOOD(units_read_duration, "7us", 7);
    GOOD(units_read_duration, "10s", 10000000);
    GOOD(units_read_duration, "1m30s", 90000000);
    GOOD(units_read_duration, "2h", 7200000000);
    GOOD(units_read_duration, "7d", 604800000000);
    GOOD(units_read_duration, "1.5h", 5400000000);
    GOOD(units_read_duration, "0.000001s", 1);
    GOOD(units_read_duration, "1d2h3m4s5ms6us", 93784005006);
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!units_read_duration(slice_str(bad[i]), &v));
}

TEST(rates)
{
    static const char *const bad[] = {"", "100", "100/", "/s", "100/x", "1.5/s", "100 / s", "1/0s",
                                      "1/0", "-1/s", "1/s/s"};
    uint64_t n, per_us;

    EXPECT(units_read_rate(SLICE("100/s"), &n, &per_us) && n == 100 && per_us == 1000000);
    EXPECT(units_read_rate(SLICE("10/m"), &n, &per_us) && n == 10 && per_us == 60000000);
    EXPECT(units_read_rate(SLICE("5/h"), &n, &per_us) && n == 5 && per_us == 3600000000);
    EXPECT(units_read_rate(SLICE("0/d"), &n, &per_us) && n == 0 && per_us == 86400000000);
    EXPECT(units_read_rate(SLICE("30/10s"), &n, &per_us) && n == 30 && per_us == 10000000);
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!units_read_rate(slice_str(bad[i]), &n, &per_us));
}

TEST(percentages)
{
    static const char *const bad[] = {"", "5", "%", "5 %", "5%%", "-5%", "0.00001%", "5%x"};
    uint64_t v;

    GOOD(units_read_percent, "5%", 50000);
    GOOD(units_read_percent, "0.1%", 1000);
    GOOD(units_read_percent, "0.0001%", 1);
    GOOD(units_read_percent, "100%", 1000000);
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!units_read_percent(slice_str(bad[i]), &v));
}

TEST(integers)
{
    static const char *const bad[] = {"", "-", "+1", "1.0", "0x1", "1_000", "9223372036854775808",
                                      "-9223372036854775809", "--1"};
    int64_t v;

    EXPECT(units_read_int(SLICE("-42"), &v) && v == -42);
    EXPECT(units_read_int(SLICE("0777"), &v) && v == 777);
    EXPECT(units_read_int(SLICE("9223372036854775807"), &v) && v == INT64_MAX);
    EXPECT(units_read_int(SLICE("-9223372036854775808"), &v) && v == INT64_MIN);
    for (size_t i = 0; i < countof(bad); i++)
        EXPECT(!units_read_int(slice_str(bad[i]), &v));
}

static struct text out;

static struct slice
written(void (*write)(struct text *, uint64_t), uint64_t value)
{
    out.n = 0;
    write(&out, value);
    return text_slice(&out);
}

TEST(values_are_written_the_short_way)
{
    char memory[64];

    text_fixed(&out, memory, sizeof(memory));
    EXPECT_STR(written(units_write_bytes, 0), "0");
    EXPECT_STR(written(units_write_bytes, 1000), "1kB");
    EXPECT_STR(written(units_write_bytes, 1024), "1KiB");
    EXPECT_STR(written(units_write_bytes, 1536), "1536");
    EXPECT_STR(written(units_write_bytes, 3ull << 40), "3TiB");
    EXPECT_STR(written(units_write_duration, 0), "0");
    EXPECT_STR(written(units_write_duration, 90000000), "1m30s");
    EXPECT_STR(written(units_write_duration, 86400000000), "1d");
    EXPECT_STR(written(units_write_duration, 1001), "1ms1us");
    EXPECT_STR(written(units_write_percent, 1000000), "100%");
    EXPECT_STR(written(units_write_percent, 1000), "0.1%");
    EXPECT_STR(written(units_write_percent, 50501), "5.0501%");
    out.n = 0;
    units_write_int(&out, INT64_MIN);
    EXPECT_STR(text_slice(&out), "-9223372036854775808");
}

TEST(what_is_written_is_read_again)
{
    char memory[64];
    uint64_t v, seed = 1;

    text_fixed(&out, memory, sizeof(memory));
    for (int i = 0; i < 2000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        v = seed >> (1 + i % 63);
        EXPECT(units_read_bytes(written(units_write_bytes, v), &v) && v == seed >> (1 + i % 63));
        EXPECT(units_read_duration(written(units_write_duration, v), &v));
        EXPECT(v == seed >> (1 + i % 63));
        EXPECT(units_read_percent(written(units_write_percent, v % 100000000), &v));
    }
}
