/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/figures.c - numbers of the process and of its configuration.
 *
 * Those that begin with process_ are named as all clients of Prometheus name them, so that ready
 * dashboards find them.
 */
#include "main/figures.h"

#include "base/clock.h"
#include "control/configuration.h"
#include "observe/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    uint64_t started_us; /* wall clock */
    uint64_t applied, refused;
} figures;

static void tell(struct exposition *e);

void
figures_start(void)
{
    if (figures.started_us)
        return;
    figures.started_us = clock_wall_us();
    metrics_collector(tell);
}

void
figures_reloaded(bool good)
{
    figures.applied += good;
    figures.refused += !good;
}

/* ------------------------------------------------------------------ reading */

static double
seconds_of(struct timeval t)
{
    return (double) t.tv_sec + (double) t.tv_usec * 1e-6;
}

static double
cpu_seconds(void)
{
    struct rusage u = {0};

    getrusage(RUSAGE_SELF, &u);
    return seconds_of(u.ru_utime) + seconds_of(u.ru_stime);
}

static bool
read_memory(double *all, double *resident)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long pages[2];
    bool good = f && fscanf(f, "%llu %llu", &pages[0], &pages[1]) == 2;

    if (f)
        fclose(f);
    if (!good)
        return false;
    *all = (double) pages[0] * (double) sysconf(_SC_PAGESIZE);
    *resident = (double) pages[1] * (double) sysconf(_SC_PAGESIZE);
    return true;
}

/* Newer kernels say how many there are; else they are counted, but for the one that counts. */
static bool
read_descriptors(double *n)
{
    struct stat s;
    DIR *d;

    if (stat("/proc/self/fd", &s) == 0 && s.st_size > 0) {
        *n = (double) s.st_size;
        return true;
    }
    d = opendir("/proc/self/fd");
    if (!d)
        return false;
    *n = -1;
    for (const struct dirent *e; (e = readdir(d));)
        *n += e->d_name[0] != '.';
    closedir(d);
    return true;
}

/* ------------------------------------------------------------------ telling */

static void
tell_one(struct exposition *e, const char *name, enum metric_kind kind, const char *doc,
         double value)
{
    exposition_family(e, name, kind, doc);
    exposition_sample(e, name, NULL, 0, value);
}

static void
tell_process(struct exposition *e)
{
    double all, resident, descriptors;
    struct rlimit limit;

    tell_one(e, "process_start_time_seconds", METRIC_GAUGE,
             "When the process that serves began, in seconds since 1970.",
             (double) figures.started_us * 1e-6);
    tell_one(e, "process_cpu_seconds_total", METRIC_COUNTER,
             "User and system time of the process that serves.", cpu_seconds());
    if (read_memory(&all, &resident)) {
        tell_one(e, "process_virtual_memory_bytes", METRIC_GAUGE, "Size of its address space.",
                 all);
        tell_one(e, "process_resident_memory_bytes", METRIC_GAUGE, "Memory that it has in use.",
                 resident);
    }
    if (read_descriptors(&descriptors))
        tell_one(e, "process_open_fds", METRIC_GAUGE, "Its open file descriptors.", descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        tell_one(e, "process_max_fds", METRIC_GAUGE, "How many it may have.",
                 (double) limit.rlim_cur);
}

static void
tell_configuration(struct exposition *e)
{
    static const char family[] = "maitred_config_reloads_total";
    const struct slice applied[] = {SLICE("outcome"), SLICE("applied")};
    const struct slice refused[] = {SLICE("outcome"), SLICE("refused")};

    exposition_family(e, family, METRIC_COUNTER,
                      "Configurations that were applied, or refused because they were wrong.");
    exposition_sample(e, family, applied, 1, (double) figures.applied);
    exposition_sample(e, family, refused, 1, (double) figures.refused);
    tell_one(e, "maitred_config_revision", METRIC_GAUGE,
             "Number of the configuration in force; 0: it has none.",
             (double) configuration_revision());
    tell_one(e, "maitred_config_loaded_timestamp_seconds", METRIC_GAUGE,
             "When it was applied, in seconds since 1970.", (double) configuration_since_s());
}

static void
tell(struct exposition *e)
{
    const struct slice version[] = {SLICE("version"), SLICE(MAITRED_VERSION)};

    exposition_family(e, "maitred_build_info", METRIC_GAUGE, "Always 1; the version is a label.");
    exposition_sample(e, "maitred_build_info", version, 1, 1);
    tell_configuration(e);
    tell_process(e);
}
