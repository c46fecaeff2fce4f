/* SPDX-License-Identifier: MIT */
/*
 * What writer and reader of a trace must agree on: the marks in the file's
 * header, the tables, and the words that stand for the enums.  Documented for
 * people in docs/trace-schema.md, which a test holds against this schema.
 */
#ifndef CT_STORE_SCHEMA_H
#define CT_STORE_SCHEMA_H

#include "store/record.h"

/* PRAGMA application_id: "COWt". */
#define CT_SCHEMA_APPLICATION_ID 0x434f5774
/*
 * PRAGMA user_version.  A reader takes every version up to its own: a new
 * table or column does not raise it, a change of meaning does.
 */
#define CT_SCHEMA_VERSION 1

/* Statements that build an empty trace, NULL at the end. */
extern const char *const ct_schema_sql[];

/* Keys of the table meta that the store itself writes. */
#define CT_META_COMPLETE "complete"  /* "0" or "1" */
#define CT_META_WHY "why_incomplete" /* "" when complete */
/* What why_incomplete says until the end, and what a reader makes of it when nobody writes. */
#define CT_WHY_UNFINISHED \
	"the recording has not finished: it still runs, or its recorder was killed"
#define CT_WHY_KILLED "the recording has not finished: its recorder was killed"
#define CT_META_COMMAND "command" /* JSON array of strings */

/* The words of the enums in the trace.  NULL past the end. */
const char *ct_side_name(enum ct_side v);
const char *ct_ended_name(enum ct_ended v);
const char *ct_side_end_name(enum ct_side_end v);
const char *ct_kind_name(enum ct_kind v);
const char *ct_thp_advice_name(enum ct_thp_advice v);
const char *ct_ksm_advice_name(enum ct_ksm_advice v);
const char *ct_fork_advice_name(enum ct_fork_advice v);
const char *ct_access_name(enum ct_access v);
const char *ct_no_site_name(enum ct_no_site v);

/* And back: the value, or fallback for NULL and for words of a later writer. */
int ct_side_parse(const char *s, int fallback);
int ct_ended_parse(const char *s, int fallback);
int ct_side_end_parse(const char *s, int fallback);
int ct_kind_parse(const char *s, int fallback);
int ct_thp_advice_parse(const char *s, int fallback);
int ct_ksm_advice_parse(const char *s, int fallback);
int ct_fork_advice_parse(const char *s, int fallback);
int ct_access_parse(const char *s, int fallback);
int ct_no_site_parse(const char *s, int fallback);

/*
 * Where the marks stand in the first 100 bytes of an SQLite file (its file
 * format, section 1.3): big-endian.
 */
#define CT_SQLITE_HEADER_LEN 100
#define CT_SQLITE_MAGIC "SQLite format 3" /* with its NUL: 16 bytes */

struct ct_sqlite_header {
	u32 page_len; /* bytes */
	u32 nr_pages; /* the file's length when the last transaction ended */
	u32 application_id;
	u32 user_version;
	bool wal;
};

/* 0, or -EINVAL when the bytes are not the start of an SQLite file. */
int ct_sqlite_header_parse(const u8 bytes[CT_SQLITE_HEADER_LEN], struct ct_sqlite_header *ret);

/*
 * Whether another process has the database behind fd open: SQLite holds a read
 * lock on its shared range as long as a connection in WAL mode lives.  Closing
 * fd afterwards drops this process's own locks on the file (POSIX), so ask
 * before the file is opened through SQLite.
 */
bool ct_sqlite_in_use(int fd, int *ret_pid);

#endif
