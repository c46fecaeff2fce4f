/* SPDX-License-Identifier: MIT */
/*
 * JSON, row by row: small jansson objects, written and forgotten.
 *
 * Invariant: what is unknown is null; every string is valid UTF-8, whatever bytes
 * the traced program had in its names.
 */
#include <string.h>

#include "export/sink.h"

/* The length of the UTF-8 sequence at s, or 0 when it is none (Unicode, table 3-7). */
static size_t utf8_len(const u8 *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

/* Each byte that is not UTF-8 becomes U+FFFD. */
static json_t *mended(const char *text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	const u8 *s = (const u8 *)text;
	char *to = malloc(3 * strlen(text) + 1);
	char *p = to;
	json_t *j;

	if (!to)
		return NULL;
	while (*s) {
		size_t len = utf8_len(s);

		memcpy(p, len ? (const char *)s : replacement, len ? len : 3);
		p += len ? len : 3;
		s += len ? len : 1;
	}
	j = json_stringn(to, (size_t)(p - to));
	free(to);
	return j;
}

json_t *ct_json_text(const char *s)
{
	json_t *j = json_string(s);

	return j ? j : mended(s);
}

json_t *ct_json_text_or_null(const char *s)
{
	return s && *s ? ct_json_text(s) : json_null();
}

json_t *ct_json_count(u64 v)
{
	return v == COWTRACE_UNKNOWN ? json_null() : json_integer((json_int_t)v);
}

/* Id 0 is none. */
json_t *ct_json_id_or_null(u32 id)
{
	return id ? json_integer(id) : json_null();
}

/* Takes v over. */
void ct_json_set(struct ct_sink *k, json_t *o, const char *key, json_t *v)
{
	if (json_object_set_new_nocheck(o, key, v))
		k->no_memory = true;
}

void ct_json_set_count(struct ct_sink *k, json_t *o, const char *key, u64 v)
{
	ct_json_set(k, o, key, ct_json_count(v));
}

void ct_json_set_text(struct ct_sink *k, json_t *o, const char *key, const char *s)
{
	ct_json_set(k, o, key, ct_json_text(s));
}

static void dump(struct ct_sink *k, json_t *v)
{
	if (!v || json_dumpf(v, k->out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)))
		k->no_memory = true;
	json_decref(v);
}

void ct_json_begin_array(struct ct_sink *k, const char *key)
{
	fprintf(k->out, ",\n\"%s\":[", key);
	k->not_first = false;
}

void ct_json_end_array(struct ct_sink *k)
{
	fputc(']', k->out);
}

void ct_json_put_row(struct ct_sink *k, json_t *row)
{
	fputs(k->not_first ? ",\n" : "\n", k->out);
	k->not_first = true;
	dump(k, row);
}

void ct_json_put_pair(struct ct_sink *k, const char *key, json_t *v)
{
	fprintf(k->out, ",\n\"%s\":", key);
	dump(k, v);
}
