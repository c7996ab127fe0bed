/* What refers to an image: by the API, the fallback tag, cosign's tags. */
#ifndef ECR_REFERRERS_H
#define ECR_REFERRERS_H

#include "copy.h"

/** How far it goes: signatures of attestations of signatures... Real ones have two or three. */
enum { REFERRERS_ROUNDS = 8 };

/** What cosign's tags end with; NULL after the last. */
#define COSIGN_TAGS 3
extern const char *const cosign_suffixes[COSIGN_TAGS + 1];

/** "sha256:HEX" -> "sha256-HEX" + suffix; owned. */
char *referrers_tag(const char *digest, const char *suffix);
/** True for "sha256-HEX": a list that belongs to an image, not a tag of its own. */
bool referrers_is_list(const char *tag);
/** The list that an end keeps: its API's, or the fallback tag's. NULL in *out: none. */
int referrers_list(struct manifest **out,
                   struct end *end,
                   const char *digest,
                   struct tally *tally,
                   struct mrp_error *err) MRP_NODISCARD;

#endif
