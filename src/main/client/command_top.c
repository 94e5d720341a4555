/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/client/command_top.c - `maitred top`: a screen that shows each second what passes through.
 *
 * One fiber listens to /v1/events, whose ticks make the lines at the top; the list below is asked
 * for each second.  Neither ever blocks the keys: when maitred does not answer, the screen says so
 * and goes on asking, so that it outlives restarts.
 */
#include "main/client/event_stream.h"
#include "main/client/lists.h"
#include "main/client/terminal.h"

#include <stdlib.h>

enum {
    SECOND_US = 1000000,
    PATIENCE_US = 5 * SECOND_US,    /* for one answer */
    FIRST_TICK_US = 2500 * 1000,    /* --once waits so long for it */
    SCREEN_MAX = 4 * 1024 * 1024,
    HEAD_LINES = 6,                 /* above the list, its titles included */
};

static const char *const pages[] = {"routes", "upstreams", "servers", "exchanges"};

struct top {
    struct admin    *admin;
    struct terminal  terminal;
    size_t           page;          /* of pages */
    int              sorted;        /* by this column, from 1; 0: as it comes */
    bool             reversed, paused, ended;
    size_t           first;         /* row at the top */
    json_t          *process;       /* what /v1 said; NULL: nothing yet */
    json_t          *rows;          /* of the page */
    uint64_t         rows_us;       /* when they came */
    json_t          *tick;
    struct text      fresh_tick;    /* not yet read */
    char             trouble[240];
    struct event_stream    events;
    struct admin_call stream, process_call, rows_call;
    size_t           rows_page;     /* the page that rows_call asks for */
    bool             streaming, asking;
    uint64_t         ask_at_us, stream_at_us;
};

static const struct list_kind *
kind_of(const struct top *t)
{
    return lists_find(pages[t->page]);
}

static void
replace(json_t **place, json_t *value)
{
    json_decref(*place);
    *place = value;
}

/* ------------------------------------------------------------------ asking */

static void
on_event(void *arg, struct slice name, struct slice data)
{
    struct top *t = arg;

    if (!slice_eq(name, SLICE("tick")))
        return;
    t->fresh_tick.n = 0;
    text_put(&t->fresh_tick, data);
}

static bool
on_bytes(void *arg, const struct fetch_answer *a, struct slice bytes)
{
    struct top *t = arg;

    return a->status == 200 && event_stream_feed(&t->events, bytes);
}

static void
start_stream(struct top *t)
{
    t->stream = (struct admin_call){.method = METHOD_GET,
                                    .path = "/v1/events",
                                    .accept = "text/event-stream",
                                    .within_us = TIMER_NEVER,
                                    .receive = on_bytes,
                                    .receive_arg = t};
    event_stream_init(&t->events, on_event, t);
    (void) admin_start(t->admin, &t->stream);
    t->streaming = true;
}

static void
end_stream(struct top *t)
{
    if (!t->streaming)
        return;
    admin_call_free(&t->stream);
    event_stream_free(&t->events);
    replace(&t->tick, NULL);
    t->streaming = false;
    t->stream_at_us = clock_monotonic_us() + SECOND_US;
}

static void
start_asking(struct top *t)
{
    t->process_call = (struct admin_call){
        .method = METHOD_GET, .path = "/v1", .within_us = PATIENCE_US};
    t->rows_call = (struct admin_call){
        .method = METHOD_GET, .path = kind_of(t)->path, .within_us = PATIENCE_US};
    t->rows_page = t->page;
    (void) admin_start(t->admin, &t->process_call);
    (void) admin_start(t->admin, &t->rows_call);
    t->asking = true;
}

static void
end_asking(struct top *t)
{
    if (!t->asking)
        return;
    admin_call_free(&t->process_call);
    admin_call_free(&t->rows_call);
    t->asking = false;
    t->ask_at_us = clock_monotonic_us() + SECOND_US;
}

/* ------------------------------------------------------------------ answers */

/* NULL after noting the trouble. */
static json_t *
answer_of(struct top *t, const struct admin_call *call)
{
    json_t *value = NULL;

    if (call->e == OK)
        value = json_loadb(call->answer.body.at, call->answer.body.n, 0, NULL);
    if (value && call->answer.status == 200)
        return value;
    if (call->e != OK)
        snprintf(t->trouble, sizeof(t->trouble), "%s", call->answer.why);
    else
        snprintf(t->trouble, sizeof(t->trouble), "%s answers %u: %.*s", t->admin->address,
                 call->answer.status, SLICE_ARG(admin_string(value, "detail")));
    json_decref(value);
    return NULL;
}

static void
take_rows(struct top *t, const json_t *answer)
{
    const struct list_kind *kind = lists_find(pages[t->rows_page]);
    uint64_t now_us = clock_monotonic_us();
    json_t *rows = lists_rows(kind, answer);

    if (rows && t->rows)
        lists_set_rates(kind, t->rows, rows, (double) (now_us - t->rows_us) / 1e6);
    replace(&t->rows, rows);
    t->rows_us = now_us;
}

/* True when something is new. */
static bool
take_answers(struct top *t)
{
    json_t *process, *rows;

    if (!t->asking || !t->process_call.done || !t->rows_call.done)
        return false;
    t->trouble[0] = '\0';
    process = answer_of(t, &t->process_call);
    rows = answer_of(t, &t->rows_call);
    if (process && !t->paused)
        replace(&t->process, json_incref(process));
    if (rows && !t->paused && t->rows_page == t->page)
        take_rows(t, rows);
    json_decref(process);
    json_decref(rows);
    end_asking(t);
    return true;
}

static bool
take_tick(struct top *t)
{
    json_t *tick;

    if (t->fresh_tick.n == 0)
        return false;
    tick = json_loadb(t->fresh_tick.at, t->fresh_tick.n, 0, NULL);
    t->fresh_tick.n = 0;
    if (tick && !t->paused)
        replace(&t->tick, json_incref(tick));
    json_decref(tick);
    return true;
}

/* Whatever is due: answers are taken, questions asked.  True when the screen is to be drawn. */
static bool
work(struct top *t)
{
    uint64_t now_us = clock_monotonic_us();
    bool news = take_answers(t);

    news |= take_tick(t);
    if (t->streaming && t->stream.done)
        end_stream(t);
    if (!t->streaming && now_us >= t->stream_at_us)
        start_stream(t);
    if (!t->asking && now_us >= t->ask_at_us)
        start_asking(t);
    return news;
}

/* ------------------------------------------------------------------ the screen */

static void
put_number(struct text *out, const char *before, const json_t *tick, const char *key,
           enum table_kind kind)
{
    text_put(out, slice_str(before));
    table_put(kind, json_object_get(tick, key), out);
}

/* "a of b" as a share. */
static void
put_hits(struct text *out, const json_t *tick)
{
    double hits = json_number_value(json_object_get(tick, "hits"));
    double all = hits + json_number_value(json_object_get(tick, "misses"));

    if (all > 0)
        text_printf(out, "   cache %.0f %%", 100 * hits / all);
}

static void
put_counts(struct text *out, const char *before, json_t *counts)
{
    const char *key;
    json_t *n;

    json_object_foreach (counts, key, n) {
        if (json_number_value(n) <= 0)
            continue;
        text_put(out, slice_str(before));
        admin_put_clean(out, slice_str(key));
        text_byte(out, ' ');
        table_put(TABLE_COUNT, n, out);
        before = "  ";
    }
}

static void
put_process(const struct top *t, struct text *out)
{
    text_literal(out, "maitred ");
    table_put(TABLE_TEXT, json_object_get(t->process, "version"), out);
    text_literal(out, "   up ");
    table_put_age(json_number_value(json_object_get(t->process, "uptime_s")), out);
    if (json_is_integer(json_object_get(json_object_get(t->process, "config"), "revision"))) {
        text_literal(out, "   revision ");
        table_put(TABLE_TEXT,
                  json_object_get(json_object_get(t->process, "config"), "revision"), out);
    }
    text_literal(out, "   ");
    table_put_date((double) clock_wall_us() / 1e6, out);
    text_put(out, t->paused ? SLICE(" UTC   PAUSED") : SLICE(" UTC"));
}

/* Trouble first, else faults, else why exchanges failed in the last second. */
static void
put_notes(const struct top *t, struct text *out)
{
    const json_t *faults = json_object_get(t->process, "faults"), *fault;
    size_t i;

    if (t->trouble[0]) {
        admin_put_clean(out, slice_str(t->trouble));
        return;
    }
    json_array_foreach (faults, i, fault) {
        text_put(out, i ? SLICE("; ") : SLICE("fault: "));
        table_put(TABLE_TEXT, fault, out);
    }
    if (json_array_size(faults) == 0)
        put_counts(out, "", json_object_get(t->tick, "reasons"));
}

static void
put_totals(const struct top *t, struct text *out)
{
    put_number(out, "requests ", t->tick, "rate", TABLE_RATE);
    put_number(out, "/s   failed ", t->tick, "errors", TABLE_COUNT);
    put_number(out, "   p50 ", t->tick, "p50_us", TABLE_TOOK);
    put_number(out, "  p90 ", t->tick, "p90_us", TABLE_TOOK);
    put_number(out, "  p99 ", t->tick, "p99_us", TABLE_TOOK);
    put_counts(out, "   ", json_object_get(t->tick, "statuses"));
}

static void
put_load(const struct top *t, struct text *out)
{
    put_number(out, "connections ", t->tick, "connections", TABLE_COUNT);
    put_number(out, "   in ", t->tick, "bytes_in", TABLE_BYTES);
    put_number(out, "/s   out ", t->tick, "bytes_out", TABLE_BYTES);
    text_literal(out, "/s");
    put_hits(out, t->tick);
}

static void
put_pages(const struct top *t, struct text *out)
{
    for (size_t i = 0; i < countof(pages); i++)
        text_printf(out, i == t->page ? "[%zu %s] " : " %zu %s  ", i + 1, pages[i]);
    text_literal(out, "   s sort  r reverse  space pause  q quit");
}

/* What was written from `start` on becomes a line that fits; width 0: any does. */
static void
end_line(struct text *out, size_t start, size_t width, const char *end)
{
    size_t shown = 0, n = start;

    for (; width && n < out->n; n++) {
        shown += ((unsigned char) out->at[n] & 0xC0) != 0x80;
        if (shown > width)
            out->n = n;
    }
    text_put(out, slice_str(end));
}

static void
put_screen(const struct top *t, size_t columns, size_t lines, const char *end, struct text *out)
{
    static void (*const head[])(const struct top *t, struct text *out) = {
        put_process, put_totals, put_load, put_notes, put_pages};
    const struct table_view view = {
        .first = t->first,
        .most = lines - HEAD_LINES,
        .width = columns,
        .sorted = t->sorted,
    };

    for (size_t i = 0; i < countof(head) && i < lines; i++) {
        size_t start = out->n;

        if (t->process)
            head[i](t, out);
        else if (i == 0)
            admin_put_clean(out, slice_str(t->trouble[0] ? t->trouble : "asking ..."));
        end_line(out, start, columns, end);
    }
    if (!t->rows || lines <= HEAD_LINES)
        return;
    if (t->sorted)
        table_sort(kind_of(t)->columns, t->sorted, t->reversed, t->rows);
    table_write(kind_of(t)->columns, t->rows, &view, end, out);
}

static void
draw(const struct top *t)
{
    size_t columns, lines;
    struct text screen;

    terminal_size(&columns, &lines);
    text_init(&screen, SCREEN_MAX);
    text_literal(&screen, "\x1b[H");
    put_screen(t, columns, lines, "\x1b[K\r\n", &screen);
    /* No line break behind the last line: it would scroll a full screen. */
    if (slice_ends(text_slice(&screen), SLICE("\r\n")))
        screen.n -= 2;
    text_literal(&screen, "\x1b[J");
    terminal_write(text_slice(&screen));
    text_free(&screen);
}

/* ------------------------------------------------------------------ keys */

static int
columns_of(const struct list_kind *kind)
{
    int n = 0;

    while (kind->columns[n].title)
        n++;
    return n;
}

static void
turn_to(struct top *t, size_t page)
{
    t->page = page;
    t->first = 0;
    t->sorted = 0;
    t->reversed = false;
    replace(&t->rows, NULL);
    t->ask_at_us = 0;
}

static void
scroll(struct top *t, long by)
{
    long last = (long) json_array_size(t->rows) - 1, to = (long) t->first + by;

    if (to > last)
        to = last;
    t->first = to > 0 ? (size_t) to : 0;
}

static void
take_key(struct top *t, int key)
{
    size_t columns, lines;

    terminal_size(&columns, &lines);
    switch (key) {
    case 'q':
    case TERMINAL_ENDED: t->ended = true; break;
    case '1':
    case '2':
    case '3':
    case '4': turn_to(t, (size_t) (key - '1')); break;
    case '\t': turn_to(t, (t->page + 1) % countof(pages)); break;
    case 's': t->sorted = (t->sorted + 1) % (columns_of(kind_of(t)) + 1); break;
    case 'S':
        t->sorted = (t->sorted + columns_of(kind_of(t))) % (columns_of(kind_of(t)) + 1);
        break;
    case 'r': t->reversed = !t->reversed; break;
    case ' ': t->paused = !t->paused; break;
    case 'k':
    case TERMINAL_UP: scroll(t, -1); break;
    case 'j':
    case TERMINAL_DOWN: scroll(t, 1); break;
    case TERMINAL_PAGE_UP: scroll(t, -(long) lines / 2); break;
    case TERMINAL_PAGE_DOWN: scroll(t, (long) lines / 2); break;
    case TERMINAL_HOME: t->first = 0; break;
    }
}

static int
watch(struct top *t)
{
    if (!terminal_open(&t->terminal, t->admin->arguments->command->name))
        return 2;
    draw(t);
    while (!t->ended) {
        bool news = work(t);
        int key = terminal_next(&t->terminal, clock_monotonic_us() + SECOND_US / 4);

        if (key)
            take_key(t, key);
        if ((news || key) && !t->ended)
            draw(t);
    }
    terminal_close(&t->terminal);
    return 0;
}

/* ------------------------------------------------------------------ once */

static int
print_once(struct top *t)
{
    uint64_t until_us = clock_monotonic_us() + FIRST_TICK_US;
    struct text out;
    int status = 0;

    while (clock_monotonic_us() < until_us && !(t->tick && t->rows) && !t->trouble[0]) {
        (void) work(t);
        loop_once(loop_self(), clock_monotonic_us() + SECOND_US / 10);
    }
    text_init(&out, SCREEN_MAX);
    if (t->process && t->rows) {
        put_screen(t, 0, SIZE_MAX, "\n", &out);
        command_print(&out, stdout);
    } else {
        fprintf(stderr, "maitred top: %s\n", t->trouble[0] ? t->trouble : "no answer in time");
        status = 1;
    }
    text_free(&out);
    return status;
}

static void
clean_up(struct top *t)
{
    end_stream(t);
    end_asking(t);
    json_decref(t->process);
    json_decref(t->rows);
    json_decref(t->tick);
    text_free(&t->fresh_tick);
    free(t);
}

static int
top(struct admin *a)
{
    const char *page = arguments_value(a->arguments, "--page");
    struct top *t = calloc(1, sizeof(*t));
    int status;

    if (!t)
        return 1;
    t->admin = a;
    text_init(&t->fresh_tick, EVENT_STREAM_LINE_MAX);
    while (page && t->page < countof(pages) && strcmp(pages[t->page], page) != 0)
        t->page++;
    if (t->page == countof(pages))
        status = command_usage(a->arguments->command,
                               "--page is one of routes, upstreams, servers, exchanges");
    else if (arguments_has(a->arguments, "--once"))
        status = print_once(t);
    else
        status = watch(t);
    clean_up(t);
    return status;
}

int
command_top(const struct command *self, int argc, char **argv)
{
    return admin_run(self, argc, argv, top);
}
