/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/command_trust.c - the command that helps to trust the local authority, whose certificates
 * localhost gets (acme/).
 *
 * --install does what Debian documents for authorities of one's own: a copy of the certificate in
 * /usr/local/share/ca-certificates, and update-ca-certificates.  Browsers have lists of their own.
 */
#include "acme/acme.h"
#include "config/config.h"
#include "main/arguments.h"
#include "main/settings.h"
#include "main/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_ROOM = 1024, FILE_MAX_BYTES = 64 * 1024 };

static const char preset_state[] = "/var/lib/maitred";
static const char installed[] = "/usr/local/share/ca-certificates/maitred-local.crt";

/* ------------------------------------------------------------------ which one */

static const struct acme_config *
first_acme(const struct settings *s)
{
    const struct listener_config *l = s->listeners.at;

    for (size_t i = 0; i < s->listeners.n; i++)
        if (l[i].tls && l[i].tls->acme)
            return l[i].tls->acme;
    return NULL;
}

/* The path into out; the exit status. */
static int
find_by_configuration(const char *file, char *out)
{
    struct config_report report;
    const struct acme_config *acme = NULL;
    struct config *c;
    int status = EXIT_CONFIGURATION;

    config_report_init(&report);
    c = config_load_file(file, &settings_object, NULL, &report);
    if (c)
        acme = first_acme(c->root);
    if (acme && acme_local_ca_path(acme->state, out, PATH_ROOM))
        status = 0;
    else if (c)
        fprintf(stderr, "maitred trust: no listener of %s has `tls: {acme: ...}`\n", file);
    if (!c)
        config_report_tell(&report);
    config_free(c);
    config_report_free(&report);
    return status;
}

static bool
is_there(const char *path)
{
    if (access(path, R_OK) == 0)
        return true;
    if (errno == ENOENT)
        fprintf(stderr, "maitred trust: there is no `%s` yet: it is made when a listener with "
                        "`tls: {acme: ...}` first serves a host such as localhost\n", path);
    else
        fprintf(stderr, "maitred trust: cannot read `%s`: %s; try again with sudo\n", path,
                strerror(errno));
    return false;
}

/* ------------------------------------------------------------------ installing */

static bool
read_whole(const char *path, struct text *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : config_read_descriptor(fd, out);

    if (fd >= 0)
        close(fd);
    errno = error;
    return error == 0;
}

static bool
write_whole(const char *path, struct slice content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool good = fd >= 0 && write(fd, content.at, content.n) == (ssize_t) content.n;

    if (fd >= 0 && close(fd) != 0)
        good = false;
    return good;
}

static bool
update(void)
{
    static const char *const argv[] = {"update-ca-certificates", NULL};
    pid_t pid;
    int how = 0, error = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *) argv, environ);

    if (error) {
        fprintf(stderr, "maitred trust: cannot run %s: %s\n", argv[0], strerror(error));
        return false;
    }
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static int
install(const char *path)
{
    struct text pem;
    bool good;

    text_init(&pem, FILE_MAX_BYTES);
    good = read_whole(path, &pem);
    if (!good)
        fprintf(stderr, "maitred trust: cannot read `%s`: %s\n", path, strerror(errno));
    else if (!(good = write_whole(installed, text_slice(&pem))))
        fprintf(stderr, "maitred trust: cannot write `%s`: %s; try again with sudo\n", installed,
                strerror(errno));
    text_free(&pem);
    if (!good || !update())
        return 1;
    printf("This machine trusts `%s` now.  To undo that: delete %s and run "
           "update-ca-certificates --fresh\n", path, installed);
    return 0;
}

/* ------------------------------------------------------------------ the command */

static void
explain(const char *path)
{
    printf("The authority for localhost: %s\n\n"
           "It may issue for localhost, names below it and the loopback addresses only.\n\n"
           "To have this machine trust it (curl and most programs), as root:\n"
           "    maitred trust --install\n"
           "To have Chromium trust it (libnss3-tools):\n"
           "    certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n maitred -i %s\n"
           "Firefox: Settings, Privacy & Security, View Certificates, Authorities, Import.\n"
           "For one request:\n"
           "    curl --cacert %s https://localhost/\n",
           path, path, path);
}

int
command_trust(const struct command *self, int argc, char **argv)
{
    struct arguments arguments;
    char path[PATH_ROOM];
    const char *file;
    int status = arguments_read(&arguments, self, argc, argv);

    if (status)
        return status;
    file = arguments_value(&arguments, "-c");
    (void) acme_local_ca_path(slice_str(preset_state), path, sizeof(path));
    status = file ? find_by_configuration(file, path) : 0;
    if (status)
        return status;
    if (!is_there(path))
        return 1;
    if (arguments_has(&arguments, "--install"))
        return install(path);
    explain(path);
    return 0;
}
