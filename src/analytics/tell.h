/* SPDX-License-Identifier: Apache-2.0 */
/* analytics/tell.h - sketches as JSON. */
#ifndef ANALYTICS_TELL_H
#define ANALYTICS_TELL_H

#include "analytics/period.h"
#include "base/text.h"

/* {"requests":..,...,"took":{..},"origin":{..}} */
void tell_totals(const struct tally *t, struct text *out);
/* {"unseen":..,"items":[..]} */
void tell_list(struct period *p, enum dimension d, size_t most, struct text *out);
/* {"at":..,...} */
void tell_point(const struct tally *t, int64_t at_s, struct text *out);

#endif
