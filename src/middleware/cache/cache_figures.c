/* SPDX-License-Identifier: Apache-2.0 */
/* middleware/cache/cache_figures.c - numbers of the stores, for Prometheus. */
#include "base/check.h"
#include "middleware/cache/stores.h"
#include "observe/metrics.h"
#include "store/store.h"

struct family {
    const char      *name;
    enum metric_kind kind;
    size_t           at; /* in struct store_status */
    const char      *doc;
};

#define OF(field) offsetof(struct store_status, field)

static const struct family families[] = {
    {"maitred_store_objects", METRIC_GAUGE, OF(objects), "Objects in memory."},
    {"maitred_store_memory_bytes", METRIC_GAUGE, OF(memory_bytes), "Memory in use."},
    {"maitred_store_memory_max_bytes", METRIC_GAUGE, OF(memory_max), "Memory that may be used."},
    {"maitred_store_disk_objects", METRIC_GAUGE, OF(disk_objects), "Objects on the disk."},
    {"maitred_store_disk_bytes", METRIC_GAUGE, OF(disk_bytes), "Room on the disk in use."},
    {"maitred_store_disk_max_bytes", METRIC_GAUGE, OF(disk_max), "Room that may be used there."},
    {"maitred_store_hits_total", METRIC_COUNTER, OF(hits), "Look-ups that found an object."},
    {"maitred_store_misses_total", METRIC_COUNTER, OF(misses),
     "Look-ups that found nothing in memory."},
    {"maitred_store_disk_hits_total", METRIC_COUNTER, OF(disk_hits),
     "Of those, look-ups that found it on the disk."},
    {"maitred_store_shared_total", METRIC_COUNTER, OF(shared),
     "Look-ups that found an object which somebody else was fetching."},
    {"maitred_store_evicted_total", METRIC_COUNTER, OF(evicted),
     "Objects that made room for others."},
    {"maitred_store_purged_total", METRIC_COUNTER, OF(purged), "Objects that were purged."},
    {"maitred_store_declined_total", METRIC_COUNTER, OF(declined),
     "Fetches whose answer was not to be kept."},
    {"maitred_store_broken_total", METRIC_COUNTER, OF(broken), "Fetches that broke off."},
    {"maitred_store_refused_total", METRIC_COUNTER, OF(refused), "Objects that did not fit."},
    {"maitred_store_disk_written_total", METRIC_COUNTER, OF(disk_written),
     "Objects that were written to the disk."},
    {"maitred_store_disk_dropped_total", METRIC_COUNTER, OF(disk_dropped),
     "Objects that were not written, for want of room in the queue or because of trouble."},
    {"maitred_store_disk_broken_total", METRIC_COUNTER, OF(disk_broken),
     "Objects on the disk that were not what had been written."},
};

struct telling {
    struct exposition   *e;
    const struct family *family;
};

static void
tell_store(void *arg, struct slice name, const struct store_status *status)
{
    const struct telling *t = arg;
    const struct slice labels[] = {SLICE("store"), name};
    uint64_t value;

    memcpy(&value, (const char *) status + t->family->at, sizeof(value));
    exposition_sample(t->e, t->family->name, labels, 1, (double) value);
}

void
cache_stores_tell(struct exposition *e)
{
    for (size_t i = 0; i < countof(families); i++) {
        struct telling t = {e, &families[i]};

        exposition_family(e, families[i].name, families[i].kind, families[i].doc);
        store_each(tell_store, &t);
    }
}
