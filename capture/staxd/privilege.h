/*
 * privilege.h - keeps of root's power only what opening events takes.
 *
 * To be called before any thread is made: capabilities belong to threads. Needs no libcap.
 */
#ifndef STAX_CAPTURE_STAXD_PRIVILEGE_H
#define STAX_CAPTURE_STAXD_PRIVILEGE_H

/* Drops every capability but CAP_PERFMON (events on any task), CAP_SYSLOG (addresses in
 * /proc/kallsyms) and, where the kernel accepts nothing less for perf, CAP_SYS_ADMIN; no exec can
 * bring any back. NULL, or what is missing, in words. */
const char *privilege_drop(void);

#endif
