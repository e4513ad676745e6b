/*
 * identity.h - who a process is: from a pidfd to a pid, and from a pid to credentials.
 *
 * Reads /proc into buffers on the stack: nothing is allocated. What a foreign descriptor is, is
 * asked of /proc alone and never of the descriptor (its file system may be the caller's own and may
 * never answer). Any thread.
 */
#ifndef STAX_CAPTURE_STAXD_IDENTITY_H
#define STAX_CAPTURE_STAXD_IDENTITY_H

#include <stddef.h>
#include <sys/types.h>

#include "capture/staxd/policy.h"

/* The process of a pidfd as this process sees it. BROKER_BAD_DESCRIPTOR: no pidfd; BROKER_GONE: it
 * has been reaped; BROKER_OTHER_NAMESPACE: it cannot be seen from here. */
enum broker_status identity_of_pidfd(int pidfd, pid_t *pid);

/* BROKER_GRANTED while the process of a pidfd has not ended. As long as that is so its pid has not
 * been given to another process. */
enum broker_status identity_is_alive(int pidfd);

/* Reads the credentials of thread tid of process pid as they are now. BROKER_NOT_A_THREAD: it is
 * one of another process; BROKER_GONE: there is none, or no longer; BROKER_OTHER_USER: what /proc
 * says was not understood. */
enum broker_status identity_read(pid_t pid, pid_t tid, struct policy_target *target);

/* The text of /proc/PID/task/TID/status (terminated): false unless every line needed is there. */
bool identity_parse_status(const char *text, struct policy_target *target);

/* The number in the line "Pid:" of a pidfd's fdinfo; false when there is none. */
bool identity_parse_fdinfo(const char *text, pid_t *pid);

/* Whether a uid_map is the one of the initial user namespace. */
bool identity_is_host_map(const char *text);

/* Reads a small file of /proc or tracefs, terminated. Number of bytes, or -errno (-EFBIG: there is
 * no room for all of it). */
ssize_t identity_read_file(const char *path, char *text, size_t size);

#endif
