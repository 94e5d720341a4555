/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/replay_main.c - runs a fuzz target over the files of its corpus, as a test.
 *
 * Each directory or file of the command line is replayed, and the empty input too; the output is
 * TAP.  A target that finds a fault aborts, so every line that is printed is a pass.  The bytes are
 * handed over in a block of their own, so that a sanitizer sees a read past the end.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int number;

static void
replay(const uint8_t *data, size_t n, const char *name)
{
    uint8_t *copy = calloc(1, n ? n : 1);

    if (!copy)
        abort();
    if (n)
        memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    printf("ok %d - %s\n", ++number, name);
    fflush(stdout);
}

/* False when it is no file. */
static bool
replay_file(const char *path)
{
    static uint8_t input[INPUT_MAX];
    const char *slash = strrchr(path, '/');
    FILE *file = fopen(path, "rb");
    size_t n;

    if (!file)
        return false;
    n = fread(input, 1, sizeof(input), file);
    if (ferror(file)) {
        fclose(file);
        return false;
    }
    fclose(file);
    replay(input, n, slash ? slash + 1 : path);
    return true;
}

static void
replay_directory(const char *path)
{
    struct dirent **entries;
    char name[4096];
    int count = scandir(path, &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replay_file(name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

int
main(int argc, char **argv)
{
    replay((const uint8_t *) "", 0, "empty");
    for (int i = 1; i < argc; i++) {
        if (!replay_file(argv[i]))
            replay_directory(argv[i]);
    }
    printf("1..%d\n", number);
    return 0;
}
