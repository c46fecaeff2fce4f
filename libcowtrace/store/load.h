/* SPDX-License-Identifier: MIT */
/* The inside of the reader: how a trace is opened, and how its rows are read. */
#ifndef CT_STORE_LOAD_H
#define CT_STORE_LOAD_H

#include <sqlite3.h>

#include "base/err.h"
#include "store/reader.h"

/*
 * Opens the file at path for reading, in a transaction, after its header has
 * been looked at.  Errors as ct_trace_load().
 */
int ct_load_open(const char *path, sqlite3 **ret_db, int *ret_writer_pid, struct ct_err *err);

/* Reads all tables.  0, -ENOMEM, or -EBADMSG or what SQLite met, with *err set. */
int ct_load_tables(sqlite3 *db, struct ct_trace *t, const char *path, struct ct_err *err);

/* Whether there is a table of that name, which ends at its first blank. */
bool ct_load_has_table(sqlite3 *db, const char *name);

/* -EBADMSG, with the sentence in *err.  row counts from 1. */
int ct_load_damaged(const char *path, u64 row, const char *table, struct ct_err *err);

/* Strings of a trace: freed together. */
int ct_strings_create(struct ct_trace_strings **ret);
void ct_strings_destroy(struct ct_trace_strings *s);
/* A copy with a NUL, or NULL without memory. */
const char *ct_strings_add(struct ct_trace_strings *s, const char *text, size_t len);

#endif
