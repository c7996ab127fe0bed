/* The two actions of the plugin: their options and callbacks. */
#ifndef MRP_S3_S3_H
#define MRP_S3_S3_H

#include <mrpipe/plugin.h>

struct mrp_package {
    char *to;
    int format;
    int64_t level;
    int64_t threads;
    int timestamps;
    int collisions;
    char **files;
    char **exclude;
    char *base;
    bool discard_paths;
    bool keep_links;
};

extern const struct mrp_option mrp_package_options[];
extern const struct mrp_output_info mrp_package_outputs[];
int mrp_package_check(const void *options, const char **bad, struct mrp_error *err);
int mrp_package_plan(void *options,
                     struct mrp_stage *stage,
                     enum mrp_result *result,
                     struct mrp_error *err);
int mrp_package_run(void *options,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err);

struct mrp_upload {
    char *file;
    char *bucket;
    char *key;
    char *region;
    uint64_t part_size;
    uint64_t multipart_from;
    int64_t parallel;
    char *content_type;
    char *cache_control;
    int acl;
    char *kms_key;
    char *storage_class;
    char *bucket_owner;
    json_t *metadata;
    json_t *tags;
    int existing;
};

extern const struct mrp_option mrp_upload_options[];
extern const struct mrp_output_info mrp_upload_outputs[];
int mrp_upload_check(const void *options, const char **bad, struct mrp_error *err);
int mrp_upload_plan(void *options,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err);
int mrp_upload_run(void *options,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err);
int mrp_upload_verify(void *options,
                      struct mrp_stage *stage,
                      enum mrp_result *result,
                      struct mrp_error *err);

#endif
