/* SPDX-License-Identifier: MIT */
/* Exit statuses of the command; docs/exit-status.md is the contract. */
#ifndef CT_CLI_EXIT_H
#define CT_CLI_EXIT_H

enum {
	CT_EXIT_OK = 0,
	CT_EXIT_FAILED = 1, /* none of the others: no memory, a bug */
	CT_EXIT_USAGE = 2,

	/* Commands that read a trace. */
	CT_EXIT_TRACE_ABSENT = 3,
	CT_EXIT_TRACE_UNREADABLE = 4, /* permission, I/O error, a folder */
	CT_EXIT_TRACE_EMPTY = 5,
	CT_EXIT_NOT_A_TRACE = 6,
	CT_EXIT_TRACE_DAMAGED = 7, /* truncated or torn */
	CT_EXIT_TRACE_NEWER = 8,   /* written by a later cowtrace */
	CT_EXIT_NO_MATCH = 9,	   /* no such fork or process in the trace */
	CT_EXIT_OUTPUT = 10,	   /* the report could not be written out whole */

	/* doctor: its answers, and what is none, as sysexits.h has them */
	CT_EXIT_DOCTOR_FULL = 0,
	CT_EXIT_DOCTOR_PARTIAL = 1,
	CT_EXIT_DOCTOR_NONE = 2,
	CT_EXIT_DOCTOR_USAGE = 64,
	CT_EXIT_DOCTOR_FAILED = 71, /* no memory */
	CT_EXIT_DOCTOR_OUTPUT = 74, /* the answer could not be written out whole */

	/*
	 * record passes the command's own status through; these are for its own
	 * failures, above what commands use, as env(1) and timeout(1) have them.
	 */
	CT_EXIT_RECORD_LISTEN = 121,  /* the socket of --listen cannot be made */
	CT_EXIT_RECORD_TORN = 122,    /* the command succeeded, its trace is incomplete */
	CT_EXIT_RECORD_NOTHING = 123, /* the command succeeded, nothing was recorded */
	CT_EXIT_RECORD_OUTPUT = 124,  /* the trace cannot be created: the command did not start */
	CT_EXIT_RECORD_FAILED = 125,  /* cowtrace failed before the command started */
	CT_EXIT_RECORD_NOT_EXECUTABLE = 126,
	CT_EXIT_RECORD_NOT_FOUND = 127,
};

#endif
