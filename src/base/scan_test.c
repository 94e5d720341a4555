/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scan.h"

#include "base/test.h"

#include <stdlib.h>

static const char *
by_hand(const char *at, const char *end, enum scan_stop stop)
{
    while (at < end && !scan_stops_at((unsigned char) *at, stop))
        at++;
    return at;
}

/* Constants in the calls, as the scanner wants them. */
static const char *
by_scan(const char *at, const char *end, enum scan_stop stop)
{
    switch (stop) {
    case SCAN_NAME: return scan_until(at, end, SCAN_NAME);
    case SCAN_WORD: return scan_until(at, end, SCAN_WORD);
    case SCAN_CONTROL: return scan_until(at, end, SCAN_CONTROL);
    }
    return NULL;
}

static const enum scan_stop all_stops[] = {SCAN_NAME, SCAN_WORD, SCAN_CONTROL};

TEST(every_byte_at_every_place_stops_as_the_table_says)
{
    for (size_t n = 1; n <= 70; n++) {
        /* malloc'd to size, so that AddressSanitizer sees a read past the end. */
        char *text = malloc(n);

        for (size_t place = 0; place < n; place++)
            for (int c = 0; c < 256; c++)
                for (size_t s = 0; s < 3; s++) {
                    memset(text, 'x', n);
                    text[place] = (char) c;
                    EXPECT(by_scan(text, text + n, all_stops[s]) ==
                           by_hand(text, text + n, all_stops[s]));
                }
        free(text);
    }
}

TEST(the_first_of_several_stops_wins)
{
    char text[100];

    memset(text, 'x', sizeof(text));
    for (size_t first = 0; first < sizeof(text); first++) {
        memset(text, 'x', sizeof(text));
        memset(text + first, '\r', sizeof(text) - first);
        EXPECT(scan_until(text, text + sizeof(text), SCAN_CONTROL) == text + first);
        EXPECT(scan_until(text, text + sizeof(text), SCAN_WORD) == text + first);
        EXPECT(scan_until(text, text + sizeof(text), SCAN_NAME) == text + first);
    }
}

TEST(an_empty_stretch_ends_where_it_begins)
{
    char c = ':';

    EXPECT(scan_until(&c, &c, SCAN_NAME) == &c);
    EXPECT(scan_until(&c, &c, SCAN_CONTROL) == &c);
}

TEST(tabs_spaces_and_high_bytes_belong_to_values)
{
    static const char text[] = "a\tb c\x80\xff-------------------------------------\r\n";

    EXPECT(*scan_until(text, text + sizeof(text) - 1, SCAN_CONTROL) == '\r');
    EXPECT(*scan_until(text, text + sizeof(text) - 1, SCAN_WORD) == '\t');
}
