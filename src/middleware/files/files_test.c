/* SPDX-License-Identifier: Apache-2.0 */
/* `files` whole, on a fiber, over a folder that each test finds new. */
#include "base/check.h"
#include "base/test.h"
#include "middleware/files/files.h"
#include "middleware/middleware.h"
#include "middleware/testing.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop loop;
static struct trial t;
static struct exchange *x;
static char place[64], yaml[512];
static int folder;
static struct slice body;
static bool broke_off;
static void (*between)(void); /* between the head of the answer and its body */

/* ------------------------------------------------------------------ the folder */

static void
put(const char *name, const char *text)
{
    int fd = openat(folder, name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text) && close(fd) == 0);
}

/* Of that many bytes, the same all over. */
static void
put_large(const char *name, size_t n, char c)
{
    char *bytes = malloc(n);
    int fd = openat(folder, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

    CHECK(bytes && fd >= 0);
    memset(bytes, c, n);
    CHECK(pwrite(fd, bytes, n, 0) == (ssize_t) n && close(fd) == 0);
    free(bytes);
}

/* Options behind `root`, as YAML. */
static void
begin_with(const char *options)
{
    snprintf(place, sizeof(place), "/tmp/maitred-files-XXXXXX");
    CHECK(mkdtemp(place) && chmod(place, 0755) == 0);
    folder = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(mkdirat(folder, "sub", 0755) == 0);
    put("a.txt", "plain");
    put("sub/index.html", "<p>sub");
    snprintf(yaml, sizeof(yaml), "files: {root: %s%s}", place, options);
    trial_load(&t, &middleware_files, yaml);
    CHECK(t.config);
    CHECK(loop_init(&loop, NULL, 0) == OK);
    between = NULL;
}

static void
done(void)
{
    static const char *const names[] = {"a.txt",   "a.txt.br",       "a.txt.gz",      "a.txt.zst",
                                        "big.bin", "sub/index.html", "sub/index.htm", ".env",
                                        "app.html"};

    trial_free(&t);
    offload_exit();
    files_cache_drop();
    loop_exit(&loop);
    for (size_t i = 0; i < countof(names); i++)
        (void) unlinkat(folder, names[i], 0);
    CHECK(unlinkat(folder, "sub", AT_REMOVEDIR) == 0 && rmdir(place) == 0);
    close(folder);
}

/* ------------------------------------------------------------------ a request */

static void
serve(void *nothing)
{
    (void) nothing;
    trial_run(&t, x, &testing_terminal);
    if (between)
        between();
    body = testing_pull(x, x->response.body);
    broke_off = !slice_is_present(body);
}

static unsigned
asked(const char *method, const char *path, const char *name, const char *value)
{
    testing_exchange_free(x);
    x = testing_exchange(method, path, name, value, NULL);
    fiber_start("files", serve, NULL);
    while (fiber_count() > 0)
        loop_once(&loop, loop.now_us + 100000);
    return x->response.status;
}

static unsigned
get(const char *path)
{
    return asked("GET", path, NULL, NULL);
}

static void
over(void)
{
    body_close(take(&x->response.body));
    testing_exchange_free(take(&x));
    done();
}

/* ------------------------------------------------------------------ what is served */

TEST(a_file)
{
    begin_with("");
    EXPECT_EQ(get("/a.txt"), 200);
    EXPECT_STR(body, "plain");
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain; charset=utf-8");
    EXPECT_STR(testing_field(x, "Vary"), "Accept-Encoding");
    EXPECT_EQ(testing_field(x, "Last-Modified").n, 29);
    EXPECT(testing_field(x, "ETag").n > 4);
    EXPECT(!slice_is_present(testing_field(x, "Cache-Control")));
    EXPECT_EQ(x->fault.reason, REASON_RESPOND);
    over();
}

TEST(options_are_said)
{
    begin_with(", cache_control: max-age=60, charset: '', precompressed: []");
    EXPECT_EQ(get("/a.txt"), 200);
    EXPECT_STR(testing_field(x, "Cache-Control"), "max-age=60");
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain");
    EXPECT(!slice_is_present(testing_field(x, "Vary")));
    over();
}

TEST(a_folder_has_an_index_behind_its_slash)
{
    begin_with(", index: [index.htm, index.html]");
    EXPECT_EQ(get("/sub/"), 200);
    EXPECT_STR(body, "<p>sub");
    EXPECT_EQ(get("/sub?q=1"), 301);
    EXPECT_STR(testing_field(x, "Location"), "./sub/?q=1");
    EXPECT_EQ(get("/a.txt/"), 404);
    EXPECT_EQ(get("/"), 404);
    EXPECT_EQ(x->fault.reason, REASON_NOT_FOUND);
    over();
}

TEST(methods_that_write_are_refused)
{
    begin_with("");
    EXPECT_EQ(asked("POST", "/a.txt", NULL, NULL), 405);
    EXPECT_STR(testing_field(x, "Allow"), "GET, HEAD");
    EXPECT_EQ(asked("HEAD", "/a.txt", NULL, NULL), 200);
    EXPECT_STR(testing_field(x, "Content-Length"), "5");
    EXPECT(x->response.body == NULL);
    over();
}

TEST(what_is_not_there_falls_back)
{
    begin_with(", fallback: /app.html");
    put("app.html", "app");
    EXPECT_EQ(get("/deep/link"), 200);
    EXPECT_STR(body, "app");
    EXPECT_EQ(get("/.env"), 200);
    EXPECT_STR(body, "app");
    EXPECT_EQ(get("/a.txt"), 200);
    EXPECT_STR(body, "plain");
    over();
}

TEST(what_is_not_there_goes_on)
{
    begin_with(", next: true");
    EXPECT_EQ(get("/a.txt"), 200);
    EXPECT_STR(body, "plain");
    EXPECT_EQ(get("/none"), 200);
    EXPECT_STR(body, "hello\n");
    EXPECT_EQ(asked("POST", "/a.txt", NULL, NULL), 200);
    EXPECT_STR(body, "hello\n");
    over();
}

TEST(hidden_files_are_not_there)
{
    begin_with("");
    put(".env", "secret");
    EXPECT_EQ(get("/.env"), 404);
    over();
    begin_with(", hidden: true");
    put(".env", "secret");
    EXPECT_EQ(get("/.env"), 200);
    over();
}

TEST(conditions_and_ranges)
{
    char etag[80];

    begin_with("");
    EXPECT_EQ(get("/a.txt"), 200);
    snprintf(etag, sizeof(etag), "%.*s", SLICE_ARG(testing_field(x, "ETag")));
    EXPECT_EQ(asked("GET", "/a.txt", "If-None-Match", etag), 304);
    EXPECT_EQ(asked("GET", "/a.txt", "Range", "bytes=1-2"), 206);
    EXPECT_STR(body, "la");
    over();
}

/* ------------------------------------------------------------------ precompressed forms */

static struct slice
coding_for(const char *accept)
{
    return asked("GET", "/a.txt", "Accept-Encoding", accept) == 200
               ? testing_field(x, "Content-Encoding")
               : SLICE("(not 200)");
}

TEST(the_client_chooses_the_form)
{
    begin_with("");
    put("a.txt.gz", "gzipped");
    put("a.txt.br", "brotlied");
    EXPECT_STR(coding_for("gzip, br, zstd"), "br");
    EXPECT_STR(body, "brotlied");
    EXPECT_STR(testing_field(x, "Content-Type"), "text/plain; charset=utf-8");
    EXPECT_STR(coding_for("gzip"), "gzip");
    EXPECT_STR(coding_for("br;q=0.5, gzip;q=0.8"), "gzip");
    EXPECT_STR(coding_for("zstd, gzip;q=0.1"), "gzip");
    EXPECT_STR(coding_for("*"), "br");
    EXPECT_EQ(coding_for("br;q=0").n, 0);
    EXPECT_EQ(coding_for("gzip;q=0.5, identity").n, 0);
    EXPECT_STR(body, "plain");
    over();
}

TEST(our_order_decides_between_equals)
{
    begin_with(", precompressed: [gzip, br]");
    put("a.txt.gz", "gzipped");
    put("a.txt.br", "brotlied");
    put("a.txt.zst", "zstandarded");
    EXPECT_STR(coding_for("br, gzip"), "gzip");
    EXPECT_STR(coding_for("br, gzip;q=0.9"), "br");
    EXPECT_EQ(coding_for("zstd").n, 0);
    over();
}

TEST(a_form_that_was_forgotten_is_not_sent)
{
    struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

    begin_with("");
    put("a.txt.gz", "gzipped");
    CHECK(utimensat(folder, "a.txt.gz", long_ago, 0) == 0);
    EXPECT_EQ(coding_for("gzip").n, 0);
    EXPECT_STR(body, "plain");
    over();
}

/* ------------------------------------------------------------------ time */

TEST(a_change_is_seen_after_a_second)
{
    uint64_t now = clock_monotonic_us(), wall = clock_wall_us();

    begin_with("");
    clock_freeze(now, wall);
    EXPECT_EQ(get("/a.txt"), 200);
    put("a.txt", "changed");
    EXPECT_EQ(get("/a.txt"), 200);
    EXPECT_STR(body, "plain");
    clock_freeze(now + FILES_FRESH_US + 1, wall);
    EXPECT_EQ(get("/a.txt"), 200);
    EXPECT_STR(body, "changed");
    CHECK(unlinkat(folder, "a.txt", 0) == 0);
    clock_freeze(now + 2 * FILES_FRESH_US + 2, wall);
    EXPECT_EQ(get("/a.txt"), 404);
    clock_freeze(0, 0);
    over();
}

/* ------------------------------------------------------------------ large files */

enum { LARGE = 1000 * 1000 };

TEST(a_large_file_comes_in_pieces)
{
    begin_with("");
    put_large("big.bin", LARGE, 'b');
    EXPECT_EQ(get("/big.bin"), 200);
    EXPECT(x->response.body->ready);
    EXPECT_EQ(x->response.body->length, LARGE);
    EXPECT_EQ(body.n, LARGE);
    EXPECT(body.at[0] == 'b' && body.at[LARGE - 1] == 'b');
    EXPECT_EQ(asked("GET", "/big.bin", "Range", "bytes=-10"), 206);
    EXPECT_STR(body, "bbbbbbbbbb");
    over();
}

static void
shrink(void)
{
    int fd = openat(folder, "big.bin", O_WRONLY | O_TRUNC | O_CLOEXEC);

    CHECK(fd >= 0 && close(fd) == 0);
}

static void
overwrite(void)
{
    put_large("big.bin", LARGE, 'c');
}

static void
vanish(void)
{
    CHECK(unlinkat(folder, "big.bin", 0) == 0);
}

TEST(a_file_that_changes_breaks_off)
{
    void (*const changes[])(void) = {shrink, overwrite};

    for (size_t i = 0; i < countof(changes); i++) {
        begin_with("");
        put_large("big.bin", LARGE, 'b');
        between = changes[i];
        usleep(20000); /* the clock of file systems ticks every few milliseconds */
        EXPECT_EQ(get("/big.bin"), 200);
        EXPECT(broke_off);
        EXPECT_EQ(x->fault.reason, REASON_FILE_CHANGED);
        over();
    }
}

TEST(a_file_that_vanishes_is_sent_to_its_end)
{
    begin_with("");
    put_large("big.bin", LARGE, 'b');
    between = vanish;
    EXPECT_EQ(get("/big.bin"), 200);
    EXPECT_EQ(body.n, LARGE);
    over();
}

/* ------------------------------------------------------------------ folders */

TEST(a_folder_is_listed_when_it_may_be)
{
    begin_with(", listing: true");
    put(".env", "secret");
    EXPECT_EQ(get("/"), 200);
    EXPECT_STR(testing_field(x, "Content-Type"), "text/html; charset=utf-8");
    EXPECT(slice_search(body, SLICE("<a href=\"./a.txt\">a.txt</a>")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(body, SLICE("<a href=\"./sub/\">sub/</a>")) != SLICE_NOT_FOUND);
    EXPECT(slice_search(body, SLICE(".env")) == SLICE_NOT_FOUND);
    EXPECT(slice_search(body, SLICE("../")) == SLICE_NOT_FOUND);
    EXPECT_EQ(get("/sub/"), 200);
    EXPECT_STR(body, "<p>sub");
    over();
}

TEST(a_root_that_is_not_there_has_no_files)
{
    begin_with("");
    trial_free(&t);
    trial_load(&t, &middleware_files, "files: /nonexistent/folder");
    EXPECT(t.config);
    EXPECT_EQ(get("/a.txt"), 404);
    over();
}

TEST(mistakes_are_found_when_the_configuration_is_loaded)
{
    const struct middleware_ops *f = &middleware_files;

    EXPECT(is_refused(f, "files: {}", "root"));
    EXPECT(is_refused(f, "files: /etc/passwd", "is no folder"));
    EXPECT(is_refused(f, "files: {root: /tmp, index: a/b}", "is not the name of a file"));
    EXPECT(is_refused(f, "files: {root: /tmp, index: [..]}", "is not the name of a file"));
    EXPECT(is_refused(f, "files: {root: /tmp, fallback: a}", "is not the path of a file"));
    EXPECT(is_refused(f, "files: {root: /tmp, fallback: /../a}", "is not the path of a file"));
    EXPECT(is_refused(f, "files: {root: /tmp, fallback: /a/}", "is not the path of a file"));
    EXPECT(is_refused(f, "files: {root: /tmp, fallback: /a, next: true}", "fall back"));
    EXPECT(is_refused(f, "files: {root: /tmp, strip_prefix: a}", "is not a path"));
    EXPECT(is_refused(f, "files: {root: /tmp, cache_control: \"a\\nb\"}", "control bytes"));
    EXPECT(is_refused(f, "files: {root: /tmp, charset: 'a b'}", "is not a charset"));
    EXPECT(is_refused(f, "files: {root: /tmp, types: {a.b: text/plain}}", "not an extension"));
    EXPECT(is_refused(f, "files: {root: /tmp, types: {gpx: ''}}", "no type"));
    EXPECT(is_refused(f, "files: {root: /tmp, precompressed: [lzma]}", "lzma"));
}
