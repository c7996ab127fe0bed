/* Refs of one repository as it advertises them: names, object ids, capabilities. */
#ifndef CODECOMMIT_REFS_H
#define CODECOMMIT_REFS_H

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MRP_OID_BYTES 20
#define MRP_OID_HEX 40

struct mrp_oid {
    unsigned char b[MRP_OID_BYTES];
};

struct mrp_ref {
    const char *name; /* "refs/heads/main"; lives as long as its table */
    struct mrp_oid id;
};

struct mrp_oids {
    struct mrp_oid *list;
    size_t count, cap;
};

struct mrp_name_block;

struct mrp_refs {
    struct mrp_ref *list; /* sorted by name after mrp_refs_finish */
    size_t count, cap;
    struct mrp_oids extra; /* ".have" lines: objects that are there without a ref */
    struct mrp_name_block *names;
    size_t name_bytes;
    char *caps; /* " a b c=d": as advertised; NULL: none seen */
    char *head; /* what HEAD points to ("refs/heads/main"); NULL: unborn, detached or not told */
    bool shallow;
    bool odd_names; /* names were left out since no git ref may be called so */
};

/** `hex` need not end in NUL. False: no 40 hex digits. */
bool mrp_oid_parse(struct mrp_oid *out, const char *hex, size_t len);
/** 41 bytes into out; returns out. */
char *mrp_oid_hex(char out[MRP_OID_HEX + 1], const struct mrp_oid *id);
bool mrp_oid_is_zero(const struct mrp_oid *id);
bool mrp_oid_eq(const struct mrp_oid *a, const struct mrp_oid *b);

int mrp_oids_add(struct mrp_oids *set, const struct mrp_oid *id, struct mrp_error *err);
void mrp_oids_sort(struct mrp_oids *set); /* and drops doubles */
bool mrp_oids_has(const struct mrp_oids *sorted, const struct mrp_oid *id);
void mrp_oids_done(struct mrp_oids *set);

/** The rules of git check-ref-format for a full name ("refs/..."). Any byte over 0x7f is fine. */
bool mrp_ref_name_ok(const char *name, size_t len);

int mrp_refs_add(struct mrp_refs *refs,
                 const char *name,
                 size_t len,
                 const struct mrp_oid *id,
                 struct mrp_error *err);
/** Sort; MRP_E_REMOTE if a name comes twice. */
int mrp_refs_finish(struct mrp_refs *refs, struct mrp_error *err);
const struct mrp_ref *mrp_refs_find(const struct mrp_refs *refs, const char *name);
/** Every object id that the repository says it has, sorted, once each. */
int mrp_refs_all_oids(struct mrp_oids *out, const struct mrp_refs *refs, struct mrp_error *err);
/** True if the capability (before any '=') is in the list. */
bool mrp_refs_can(const struct mrp_refs *refs, const char *cap);
/** The value after "NAME=", borrowed, length in *len; NULL if absent. `from`: where to go on. */
const char *mrp_caps_value(const char *caps, const char *name, size_t *len, const char **from);
/** Empty the lists; the capabilities stay. */
void mrp_refs_forget(struct mrp_refs *refs);
void mrp_refs_done(struct mrp_refs *refs);

/** A ref name or other bytes from outside, fit for a message: bad UTF-8 and control bytes as %XX.
 * Owned. */
char *mrp_show_name(const char *bytes, size_t len);

#endif
