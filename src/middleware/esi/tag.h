/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/esi/tag.h - one tag of ESI, taken apart.  Private to esi.
 */
#ifndef MIDDLEWARE_ESI_TAG_H
#define MIDDLEWARE_ESI_TAG_H

#include "base/arena.h"

enum esi_name {
    ESI_INCLUDE,
    ESI_INLINE,
    ESI_CHOOSE,
    ESI_WHEN,
    ESI_OTHERWISE,
    ESI_TRY,
    ESI_ATTEMPT,
    ESI_EXCEPT,
    ESI_VARS,
    ESI_REMOVE,
    ESI_COMMENT,
};

struct esi_tag {
    enum esi_name name;
    bool          closes;     /* </esi:...> */
    bool          empty;      /* <esi:.../> */
    struct slice  attributes; /* what stands between name and end */
};

/* The text of a whole tag.  False: not well formed, or a name that ESI does not have. */
bool esi_tag_read(struct slice text, struct esi_tag *tag);
/* The value of an attribute with its entities (&amp; and the like) replaced, in the arena; absent
 * when there is none. */
struct slice esi_tag_attribute(const struct esi_tag *tag, struct slice name, struct arena *arena);

#endif
