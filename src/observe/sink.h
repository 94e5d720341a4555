/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe/sink.h - lines that leave the process, written off the hot path.
 *
 * A worker formats a record straight into its own chunk (sink_begin, sink_commit); full chunks go
 * to a writer thread through a bounded queue.  Nobody on a worker ever waits for a disk: when no
 * chunk is free the record is dropped and counted, and the message log tells how many.  A
 * destination that fails (disk full, nobody reads the pipe, syslog away) is opened again every
 * second; what fits into the queue meanwhile is not lost.
 *
 * Threads  a sink is shared; each worker has a struct sink_tap of its own.  The writer thread
 * serves all sinks of the process; it starts with the first sink_open(), so no fork() may follow
 * that. Reload   sinks live outside the snapshot and are found again by what they write to
 * (sink_open).
 */
#ifndef OBSERVE_SINK_H
#define OBSERVE_SINK_H

#include "base/text.h"

struct sink;
struct sink_tap;

#define SINK_CHUNK_BYTES (64 * 1024)
#define SINK_RECORD_MAX (16 * 1024) /* a longer record is dropped and counted */
#define SINK_WORKERS 128

/*
 * Opens, or finds an open one: reference counted.  to: "stdout", "stderr", a path, "syslog"
 * (/dev/log, RFC 3164 as local syslogd wants it), "syslog:///path" (the same on another socket),
 * "syslog://host:port" (UDP, RFC 5424; numeric address, port 514 when absent).  queue_bytes: bound
 * of all chunks of one worker; at least two chunks are allowed, and for a sink that is open already
 * the latest value holds.  NULL with a sentence in error when it cannot be opened.  A FIFO that
 * nobody reads is not an error: it is opened when a reader comes.
 */
struct sink *sink_open(struct slice to, size_t queue_bytes, char *error, size_t error_room);
/* With the last reference no worker may use a tap any more: what is in the taps is handed over, and
 * the sink is gone when it is written.  NULL is allowed. */
void sink_release(struct sink *s);
/* The tap of one worker, never NULL.  worker: 0..SINK_WORKERS - 1. */
struct sink_tap *sink_tap(struct sink *s, unsigned worker);

/* Room for SINK_RECORD_MAX bytes at the end of the current chunk; NULL when the record must be
 * dropped (it is counted).  Write into it with text_* (or observe/record.h), without line breaks,
 * then commit, which adds one; without a commit nothing happened. */
struct text *sink_begin(struct sink_tap *t);
void sink_commit(struct sink_tap *t);
/* Hands over what is there; called by the worker once a second and before it ends. */
void sink_flush(struct sink_tap *t);
/* Dropped records since the start, all workers. */
uint64_t sink_dropped(const struct sink *s);

/* Files are opened anew (after logrotate moved them); one that cannot be is written on to. */
void sink_reopen_all(void);
/* Waits until everything that was handed over is written, at most timeout_ms; at the end of the
 * process. */
void sink_drain_all(unsigned timeout_ms);

#endif
