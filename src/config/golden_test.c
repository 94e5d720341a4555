/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/golden_test.c - configurations in tests/golden/config and the messages that they give,
 * whether they are loaded at once or by way of a document.
 *
 * NAME.yaml is loaded with the sample tables, and the printed report must be NAME.expected; one
 * that loads in silence has an empty one.  MAITRED_UPDATE_GOLDEN=1 writes what came out, to be read
 * by a person before it is committed.  MAITRED_SOURCE_ROOT says where the sources are.
 */
#include "config/document.h"
#include "config/testing.h"

#include "base/test.h"

#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES = 1024, CASES_MAX = 200 };

static char folder[PATH_BYTES];

/* The folder of the cases: below the variable, the current folder, or the root of this file. */
static bool
find_folder(void)
{
    static const char here[] = __FILE__; /* .../src/config/golden_test.c */
    const char *root = getenv("MAITRED_SOURCE_ROOT");
    const char *cut = strstr(here, "src/config/");
    char roots[3][PATH_BYTES];

    snprintf(roots[0], PATH_BYTES, "%s", root ? root : ".");
    snprintf(roots[1], PATH_BYTES, ".");
    snprintf(roots[2], PATH_BYTES, "%.*s.", (int) (cut - here), here);
    for (size_t i = 0; i < 3; i++) {
        DIR *d;

        snprintf(folder, sizeof(folder), "%.900s/tests/golden/config", roots[i]);
        d = opendir(folder);
        if (d) {
            closedir(d);
            return true;
        }
    }
    return false;
}

static int
golden_read(void *arg, const char *path, struct text *out)
{
    char full[2 * PATH_BYTES];

    snprintf(full, sizeof(full), "%s/%.900s", folder, path);
    return config_source_system.read(arg, full, out);
}

static const char *
golden_env(void *arg, const char *name)
{
    (void) arg;
    return strcmp(name, "GOLDEN") == 0 ? "silver" : NULL;
}

/* The messages name files as seen from the folder. */
static int
golden_match(void *arg, const char *pattern, struct text *out)
{
    char full[2 * PATH_BYTES];
    struct text found;
    struct slice rest;
    int error;

    snprintf(full, sizeof(full), "%s/%.900s", folder, pattern);
    text_init(&found, 1 << 20);
    error = config_source_system.match(arg, full, &found);
    for (rest = text_slice(&found); rest.n;) {
        text_put(out, slice_from(slice_cut(&rest, '\0'), strlen(folder) + 1));
        text_byte(out, '\0');
    }
    text_free(&found);
    return error;
}

static const struct config_source source = {
    .read = golden_read, .env = golden_env, .match = golden_match};

static void
compare(const char *name, struct slice printed)
{
    char path[2 * PATH_BYTES];
    struct text expected;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%.*s.expected", folder, (int) (strlen(name) - 5), name);
    if (getenv("MAITRED_UPDATE_GOLDEN") && (f = fopen(path, "w"))) {
        fwrite(printed.n ? printed.at : "", 1, printed.n, f);
        fclose(f);
    }
    text_init(&expected, 1 << 20);
    if (config_source_system.read(NULL, path, &expected))
        test_failed(__FILE__, __LINE__, "%s cannot be read", path);
    else if (!slice_eq(text_slice(&expected), printed))
        test_failed(__FILE__, __LINE__, "%s: got\n%.*s", name, SLICE_ARG(printed));
    text_free(&expected);
}

static void
run(const char *name)
{
    struct config_report report;
    struct text printed;
    struct config *c;

    config_report_init(&report);
    text_init(&printed, 1 << 20);
    c = config_load_file(name, &sample_root_object, &source, &report);
    config_report_print(&report, &printed);
    if (!c != (report.errors > 0))
        test_failed(__FILE__, __LINE__, "%s: %zu errors, yet it was%s loaded", name, report.errors,
                    c ? "" : " not");
    compare(name, text_slice(&printed));
    config_free(c);
    config_report_free(&report);
    text_free(&printed);
}

/* By way of a document nothing else comes out. */
static void
run_as_document(const char *name)
{
    struct config_document *d;
    struct config_report report;
    struct text printed;
    struct config *c = NULL;

    config_report_init(&report);
    text_init(&printed, 1 << 20);
    d = config_document_open(name, NULL, SLICE(""), &sample_root_object, &source, &report);
    if (d)
        c = config_load_document(d, &source, &report);
    config_document_free(d);
    config_report_print(&report, &printed);
    if (!c != (report.errors > 0))
        test_failed(__FILE__, __LINE__, "%s: %zu errors, yet it was%s loaded", name, report.errors,
                    c ? "" : " not");
    compare(name, text_slice(&printed));
    config_free(c);
    config_report_free(&report);
    text_free(&printed);
}

TEST(every_case_gives_its_messages)
{
    char pattern[2 * PATH_BYTES];
    glob_t found;

    EXPECT(find_folder());
    snprintf(pattern, sizeof(pattern), "%s/*.yaml", folder);
    EXPECT_EQ(glob(pattern, 0, NULL, &found), 0);
    EXPECT(found.gl_pathc >= 10 && found.gl_pathc < CASES_MAX);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        run(found.gl_pathv[i] + strlen(folder) + 1);
        run_as_document(found.gl_pathv[i] + strlen(folder) + 1);
    }
    globfree(&found);
}
