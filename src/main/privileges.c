/* SPDX-License-Identifier: Apache-2.0 */
/* main/privileges.c - from root to somebody who owns nothing. */
#include "main/privileges.h"

#include "base/err.h"
#include "observe/log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

bool
privileges_drop(struct slice user)
{
    char name[64];
    struct passwd *who;

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (geteuid() != 0 || slice_eq(user, SLICE("root")))
        return true;
    if (user.n >= sizeof(name)) {
        log_error("process.user is too long");
        return false;
    }
    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(user));
    who = getpwnam(name);
    if (!who) {
        log_error("there is no user `%s`: set process.user to one that exists", name);
        return false;
    }
    if (setgroups(0, NULL) != 0 || setresgid(who->pw_gid, who->pw_gid, who->pw_gid) != 0 ||
        setresuid(who->pw_uid, who->pw_uid, who->pw_uid) != 0) {
        log_error("cannot become user `%s`: %s", name, err_sentence(err_from_errno(errno)));
        return false;
    }
    /* Changing users switches this off, and the supervisor's death must still be heard of. */
    prctl(PR_SET_PDEATHSIG, 15);
    return true;
}
