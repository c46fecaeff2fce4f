/* SPDX-License-Identifier: MIT */
/*
 * What `cowtrace doctor` found out, in words: a check for each thing that was tried,
 * with what is lost where it fails and what would mend it.
 */
#ifndef CT_CLI_DOCTOR_H
#define CT_CLI_DOCTOR_H

#include "engine_choice.h"
#include "engine_facts.h"
#include "sys/kgen.h"
#include "sys/memconf.h"

enum ct_check_result {
	CT_CHECK_OK,
	CT_CHECK_INFO, /* worth knowing; nothing depends on it */
	CT_CHECK_LESS, /* something runs, and tells less */
	CT_CHECK_NO,   /* something cannot run */
	CT_NR_CHECK_RESULTS,
};

/* "ok", "info", "less", "no" */
const char *ct_check_result_name(enum ct_check_result r);

/* By what a thing is mended; the order in which they are shown. */
enum ct_fix_by {
	CT_FIX_COMMAND,
	CT_FIX_SYSCTL,
	CT_FIX_DEVICE,
	CT_FIX_CONTAINER,
	CT_FIX_SYSTEMD,
	CT_FIX_KERNEL,
	CT_NR_FIX_BY,
};

/* "command", "sysctl", "device", "container", "systemd", "kernel" */
const char *ct_fix_by_name(enum ct_fix_by by);

#define CT_CHECK_FIXES 5

struct ct_check {
	const char *group; /* "recording", "userfaultfd", "perf", "pages", "process" */
	const char *id;	   /* for programs: never renamed */
	const char *name;  /* for people */
	enum ct_check_result result;
	char text[240];
	const char *loss; /* what is not known without; NULL: nothing */
	struct {
		enum ct_fix_by by;
		char text[160]; /* to be copied as it is */
	} fixes[CT_CHECK_FIXES];
	size_t nr_fixes;
};

struct ct_setting {
	const char *id, *name;
	char value[64];
	const char *meaning; /* for forks */
};

enum ct_verdict { CT_VERDICT_FULL, CT_VERDICT_PARTIAL, CT_VERDICT_NONE };

#define CT_MAX_CHECKS 40
#define CT_MAX_SETTINGS 16

struct ct_doctor {
	struct ct_probes probes;
	struct ct_memconf mem;
	struct ct_kgen gen;
	int gen_error;		 /* of the policy's experiment */
	char preload_error[512]; /* "": the preload library was found */
	u32 facts;
	enum ct_engine_id engine; /* that --engine auto takes */
	char why[600];
	enum ct_verdict verdict;
	struct ct_check checks[CT_MAX_CHECKS];
	size_t nr_checks;
	struct ct_setting settings[CT_MAX_SETTINGS];
	size_t nr_settings;
};

/* "full", "partial", "none" */
const char *ct_verdict_name(enum ct_verdict v);

/* Adds a check; the one returned may be given a loss and fixes.  Never NULL. */
ct_printf(6, 7) struct ct_check *ct_doctor_add(struct ct_doctor *d, enum ct_check_result result,
					       const char *group, const char *id, const char *name,
					       const char *fmt, ...);
ct_printf(3, 4) void ct_check_fix(struct ct_check *c, enum ct_fix_by by, const char *fmt, ...);

/* The ways to get a capability, by its name without CAP_, as "SYS_PTRACE". */
void ct_check_fix_cap(const struct ct_doctor *d, struct ct_check *c, const char *cap);

/* From probes to checks, one part each.  Pure but for their output in *d. */
void ct_doctor_check_recording(struct ct_doctor *d);
void ct_doctor_check_uffd(struct ct_doctor *d);
void ct_doctor_check_perf(struct ct_doctor *d);
void ct_doctor_check_pages(struct ct_doctor *d);
void ct_doctor_check_process(struct ct_doctor *d);
void ct_doctor_explain_settings(struct ct_doctor *d);

/* To stdout.  0; -EIO, -ENOMEM. */
int ct_doctor_print(const struct ct_doctor *d);
int ct_doctor_print_json(const struct ct_doctor *d);

#endif
