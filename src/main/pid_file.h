/* SPDX-License-Identifier: Apache-2.0 */
/* main/pid_file.h - a file that says which process is the one to send signals to. */
#ifndef MAIN_PID_FILE_H
#define MAIN_PID_FILE_H

#include <stdbool.h>

/* Says that it is this process; replaces what is there, in one step.  False: errno says why. */
bool pid_file_write(const char *path);
/* Removes it if it says this process. */
void pid_file_remove(const char *path);

#endif
