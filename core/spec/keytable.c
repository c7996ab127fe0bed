/* The keys of a buildspec and of its `mrpipe:` section, with their types and help. */
#include "keys.h"

#define SET(table) .keys = (table), .count = MRP_COUNT(table)
#define REGION "^[a-z]{2,}(-[a-z]+)+-[0-9]+$"

/* ---- buildspec ---- */

static const char *const versions[] = {"0.1", "0.2", NULL};
static const char *const cache_actions[] = {"restore", "save", "both", NULL};

static const struct mrp_key env_keys[] = {
    {"shell", MRP_KEY_TEXT, .help = "shell of the commands: /bin/sh (default) or bash"},
    {"variables", MRP_KEY_PAIRS, .help = "environment variables, literal: $ is not expanded"},
    {"parameter-store", MRP_KEY_PAIRS, .help = "variable -> name of a Systems Manager parameter"},
    {"secrets-manager", MRP_KEY_PAIRS,
     .help = "variable -> secret-id[:json-key[:version-stage[:version-id]]]"},
    {"exported-variables", MRP_KEY_TEXTS, MRP_KEY_ONE_TEXT,
     .help = "variables whose values are exported after post_build"},
    {"git-credential-helper", MRP_KEY_BOOL, .help = "let git use the build's credentials"},
};
static const struct mrp_wrong_key env_wrong[] = {
    {"plaintext", "did you mean `variables`? `plaintext` is of version 0.1"},
    {"exported-variable", "did you mean `exported-variables`?"},
    {"parameter_store", "did you mean `parameter-store`?"},
    {"secrets_manager", "did you mean `secrets-manager`?"},
    {0}};
const struct mrp_keyset mrp_keys_env = {"env", SET(env_keys), env_wrong, false};

static const struct mrp_key old_env_keys[] = {
    {"plaintext", MRP_KEY_PAIRS, .help = "environment variables"},
    {"parameter-store", MRP_KEY_PAIRS, .help = "variable -> name of a Systems Manager parameter"},
};
static const struct mrp_wrong_key old_env_wrong[] = {
    {"variables", "did you mean `plaintext`? `variables` is of `env` in version 0.2"},
    {0}};
static const struct mrp_keyset old_env = {"environment_variables", SET(old_env_keys), old_env_wrong,
                                          false};

static const struct mrp_key phase_keys[] = {
    {"run-as", MRP_KEY_TEXT, .help = "Linux user of the phase's commands"},
    {"on-failure", MRP_KEY_TEXT, .pattern = "^(ABORT|CONTINUE|RETRY(-.+)?)$",
     .help = "ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex or RETRY-count-regex"},
    {"runtime-versions", MRP_KEY_PAIRS, .help = "runtimes CodeBuild selects (install phase)"},
    {"commands", MRP_KEY_TEXTS, MRP_KEY_REQUIRED | MRP_KEY_ONE_WARN,
     .help = "commands, run in order until one fails"},
    {"finally", MRP_KEY_TEXTS, MRP_KEY_ONE_WARN,
     .help = "commands that run after `commands`, failed or not"},
};
static const struct mrp_wrong_key phase_wrong[] = {
    {"steps", "did you mean `commands`?"},
    {"script", "did you mean `commands`?"},
    {"run", "did you mean `commands`?"},
    {"runtime_versions", "did you mean `runtime-versions`?"},
    {"on_failure", "did you mean `on-failure`?"},
    {"install", "a phase inside a phase never runs: move it left, directly under `phases`"},
    {"pre_build", "a phase inside a phase never runs: move it left, directly under `phases`"},
    {"build", "a phase inside a phase never runs: move it left, directly under `phases`"},
    {"post_build", "a phase inside a phase never runs: move it left, directly under `phases`"},
    {"artifacts", "`artifacts` belongs at the top level of the file"},
    {"env", "`env` belongs at the top level of the file"},
    {0}};
const struct mrp_keyset mrp_keys_phase = {"phase", SET(phase_keys), phase_wrong, false};

static const struct mrp_key phases_keys[] = {
    {"install", MRP_KEY_MAP, .sub = &mrp_keys_phase, .help = "install packages"},
    {"pre_build", MRP_KEY_MAP, .sub = &mrp_keys_phase, .help = "before the build: logins"},
    {"build", MRP_KEY_MAP, .sub = &mrp_keys_phase, .help = "the build"},
    {"post_build", MRP_KEY_MAP, .sub = &mrp_keys_phase,
     .help = "after the build, also a failed one"},
};
static const struct mrp_wrong_key phases_wrong[] = {
    {"artifacts", "`artifacts` belongs at the top level of the file"},
    {"env", "`env` belongs at the top level of the file"},
    {"cache", "`cache` belongs at the top level of the file"},
    {"reports", "`reports` belongs at the top level of the file"},
    {"batch", "`batch` belongs at the top level of the file"},
    {"mrpipe", "`mrpipe` belongs at the top level of the file"},
    {"run-as", "`run-as` belongs at the top level of the file or into a phase"},
    {"commands", "indent `commands` under its phase"},
    {"finally", "indent `finally` under its phase"},
    {"on-failure", "indent `on-failure` under its phase"},
    {"runtime-versions", "indent `runtime-versions` under the install phase"},
    {0}};
const struct mrp_keyset mrp_keys_phases = {"phases", SET(phases_keys), phases_wrong, true};

#define PACK_KEYS                                                                                  \
    {"files", MRP_KEY_TEXTS, MRP_KEY_REQUIRED | MRP_KEY_ONE_WARN,                                  \
     .help = "globs of the files to pack, relative to base-directory"},                            \
        {"name", MRP_KEY_TEXT, .help = "name of the artifact; the shell expands it"},              \
        {"discard-paths", MRP_KEY_BOOL, .help = "all files at the top of the artifact"},           \
        {"base-directory", MRP_KEY_TEXT, .help = "folder the files are relative to; a glob"},      \
        {"exclude-paths", MRP_KEY_TEXTS, MRP_KEY_ONE_WARN, .help = "globs of files to leave out"}, \
        {"enable-symlinks", MRP_KEY_BOOL, .help = "keep symbolic links in a ZIP"},                 \
        {"s3-prefix", MRP_KEY_TEXT, .help = "prefix of the object's key"},                         \
    {                                                                                              \
        "type", MRP_KEY_TEXT, MRP_KEY_OLD, .help = "zip (version 0.1)"                             \
    }
static const struct mrp_wrong_key pack_wrong[] = {
    {"paths", "did you mean `files`?"},
    {"file", "did you mean `files`?"},
    {"type", "version 0.2 has no `type`: the project decides the packaging"},
    {"discard_paths", "did you mean `discard-paths`?"},
    {"base_directory", "did you mean `base-directory`?"},
    {0}};
static const struct mrp_key secondary_keys[] = {PACK_KEYS};
static const struct mrp_keyset secondary = {"artifact", SET(secondary_keys), pack_wrong, false};
static const struct mrp_key artifact_keys[] = {
    PACK_KEYS,
    {"secondary-artifacts", MRP_KEY_NAMED, .sub = &secondary, .help = "further artifacts by id"}};
const struct mrp_keyset mrp_keys_artifacts = {"artifacts", SET(artifact_keys), pack_wrong, false};

static const struct mrp_key cache_keys[] = {
    {"paths", MRP_KEY_TEXTS, MRP_KEY_ONE_WARN, .help = "globs of what to cache"},
    {"key", MRP_KEY_TEXT, .help = "name of the cache; the shell expands it"},
    {"fallback-keys", MRP_KEY_TEXTS, MRP_KEY_ONE_WARN,
     .help = "prefixes, tried in order; at most 5"},
    {"action", MRP_KEY_ENUM, .values = cache_actions, .help = "restore, save or both"},
};
const struct mrp_keyset mrp_keys_cache = {"cache", SET(cache_keys), NULL, false};

static const struct mrp_key report_keys[] = {
    {"files", MRP_KEY_TEXTS, MRP_KEY_REQUIRED | MRP_KEY_ONE_WARN, .help = "globs of report files"},
    {"file-format", MRP_KEY_TEXT, .help = "JUNITXML (default), CUCUMBERJSON, CLOVERXML, ..."},
    {"base-directory", MRP_KEY_TEXT, .help = "folder the files are relative to"},
    {"discard-paths", MRP_KEY_BOOL, .help = "drop the folders of the report files"},
};
const struct mrp_keyset mrp_keys_report = {"report", SET(report_keys), NULL, false};

/* ---- batch: checked, not run ---- */

static const struct mrp_key task_env_keys[] = {
    {"compute-type", MRP_KEY_TEXT, .help = "compute type"},
    {"image", MRP_KEY_TEXT, .help = "build image"},
    {"privileged-mode", MRP_KEY_BOOL, .help = "docker inside the build"},
    {"type", MRP_KEY_TEXT, .help = "environment type"},
    {"fleet", MRP_KEY_TEXT, .help = "reserved fleet"},
    {"variables", MRP_KEY_PAIRS, .help = "environment variables"},
};
static const struct mrp_keyset task_env = {"env", SET(task_env_keys), NULL, false};
#define TASK_KEYS                                                                                  \
    {"identifier", MRP_KEY_TEXT, MRP_KEY_REQUIRED, .help = "name of the task"},                    \
        {"buildspec", MRP_KEY_TEXT, .help = "its buildspec"},                                      \
        {"debug-session", MRP_KEY_BOOL, .help = "session debugging"},                              \
        {"env", MRP_KEY_MAP, .sub = &task_env, .help = "its environment"},                         \
    {                                                                                              \
        "ignore-failure", MRP_KEY_BOOL, .help = "its failure is no failure of the batch"           \
    }
static const struct mrp_key task_keys[] = {TASK_KEYS};
static const struct mrp_keyset task = {"task", SET(task_keys), NULL, false};
static const struct mrp_key node_keys[] = {
    TASK_KEYS,
    {"depend-on", MRP_KEY_TEXTS, MRP_KEY_ONE_TEXT, .help = "tasks that come before"}};
static const struct mrp_keyset node = {"task", SET(node_keys), NULL, false};
static const struct mrp_key matrix_static_keys[] = {
    {"ignore-failure", MRP_KEY_BOOL, .help = "failures are no failure of the batch"},
    {"env", MRP_KEY_MAP, .sub = &task_env, .help = "environment of all builds"},
};
static const struct mrp_keyset matrix_static = {"static", SET(matrix_static_keys), NULL, false};
static const struct mrp_key matrix_env_keys[] = {
    {"compute-type", MRP_KEY_TEXTS, MRP_KEY_ONE_TEXT, .help = "compute types"},
    {"image", MRP_KEY_TEXTS, MRP_KEY_ONE_TEXT, .help = "images"},
    {"type", MRP_KEY_TEXTS, MRP_KEY_ONE_TEXT, .help = "environment types"},
    {"variables", MRP_KEY_LISTS, .help = "variable -> list of values"},
};
static const struct mrp_keyset matrix_env = {"env", SET(matrix_env_keys), NULL, false};
static const struct mrp_key matrix_dynamic_keys[] = {
    {"buildspec", MRP_KEY_TEXTS, MRP_KEY_ONE_TEXT, .help = "buildspecs"},
    {"env", MRP_KEY_MAP, .sub = &matrix_env, .help = "lists to combine"},
};
static const struct mrp_keyset matrix_dynamic = {"dynamic", SET(matrix_dynamic_keys), NULL, false};
static const struct mrp_key matrix_keys[] = {
    {"static", MRP_KEY_MAP, .sub = &matrix_static, .help = "what all builds share"},
    {"dynamic", MRP_KEY_MAP, .sub = &matrix_dynamic, .help = "what differs"},
};
static const struct mrp_keyset matrix = {"build-matrix", SET(matrix_keys), NULL, false};
static const struct mrp_key fanout_keys[] = {
    {"parallelism", MRP_KEY_INT, .min = 1, .help = "number of builds"},
    {"ignore-failure", MRP_KEY_BOOL, .help = "failures are no failure of the batch"},
};
static const struct mrp_keyset fanout = {"build-fanout", SET(fanout_keys), NULL, false};
static const struct mrp_key batch_keys[] = {
    {"fast-fail", MRP_KEY_BOOL, .help = "stop the other builds when one fails"},
    {"build-list", MRP_KEY_LIST, .sub = &task, .help = "builds that run side by side"},
    {"build-graph", MRP_KEY_LIST, .sub = &node, .help = "builds with dependencies"},
    {"build-matrix", MRP_KEY_MAP, .sub = &matrix, .help = "all combinations of lists"},
    {"build-fanout", MRP_KEY_MAP, .sub = &fanout, .help = "equal builds that share the tests"},
};
const struct mrp_keyset mrp_keys_batch = {"batch", SET(batch_keys), NULL, false};

static const struct mrp_key proxy_keys[] = {
    {"upload-artifacts", MRP_KEY_BOOL, .help = "upload artifacts through the proxy"},
    {"logs", MRP_KEY_BOOL, .help = "send logs through the proxy"},
};
static const struct mrp_keyset proxy = {"proxy", SET(proxy_keys), NULL, false};

/* ---- mrpipe: ---- */

static const char *const stage_failure[] = {"abort", "continue", NULL};

static const struct mrp_key regions_keys[] = {
    {"primary", MRP_KEY_TEXT, .pattern = REGION, .help = "the region the build runs for"},
    {"secondary", MRP_KEY_TEXTS, MRP_KEY_ONE_TEXT, .pattern = REGION,
     .help = "the region, or list of regions, made equal to it"},
};
const struct mrp_keyset mrp_keys_regions = {"regions", SET(regions_keys), NULL, true};

#define SHARED_KEYS                                                                                \
    {"region", MRP_KEY_TEXT, .help = "region the stage works in; default: the primary"},           \
        {"timeout", MRP_KEY_DURATION, .help = "time after which the stage is stopped: 30s, 5m"},   \
        {"retries", MRP_KEY_INT, .max = 100, .help = "how often a failed stage is tried again"},   \
        {"on-failure", MRP_KEY_ENUM, .values = stage_failure,                                      \
         .help = "abort (default), or continue with the stages that do not need it"},              \
        {"role-arn", MRP_KEY_TEXT, .help = "role to assume for the stage's AWS calls"},            \
    {                                                                                              \
        "env", MRP_KEY_PAIRS, .help = "environment variables of the stage"                         \
    }
static const struct mrp_key stage_keys[] = {
    {"id", MRP_KEY_TEXT, .pattern = "^[A-Za-z_][A-Za-z0-9_-]{0,63}$",
     .help = "name of the stage; default: the action's name, numbered"},
    {"uses", MRP_KEY_TEXT, MRP_KEY_REQUIRED, .pattern = "^[a-z][a-z0-9_-]*/[a-z][a-z0-9_-]*$",
     .help = "plugin/action"},
    {"with", MRP_KEY_ANY_MAP, .help = "the action's options"},
    {"needs", MRP_KEY_TEXTS, MRP_KEY_ONE_TEXT,
     .help = "stages that come before; `build` is the phases; default: the stage before this one"},
    {"for-each", MRP_KEY_ANY_MAP,
     .help = "name -> list: one copy of the stage for each value, or each combination"},
    {"if", MRP_KEY_TEXT, .help = "expression; the stage is skipped when it is false"},
    SHARED_KEYS,
};
static const struct mrp_wrong_key stage_wrong[] = {
    {"name", "did you mean `id`?"},          {"depends-on", "did you mean `needs`?"},
    {"depends_on", "did you mean `needs`?"}, {"when", "did you mean `if`?"},
    {"foreach", "did you mean `for-each`?"}, {"matrix", "did you mean `for-each`?"},
    {"options", "did you mean `with`?"},     {0}};
const struct mrp_keyset mrp_keys_stage = {"stage", SET(stage_keys), stage_wrong, true};
static const struct mrp_key defaults_keys[] = {SHARED_KEYS};
static const struct mrp_keyset defaults = {"defaults", SET(defaults_keys), NULL, true};

static const struct mrp_key pin_keys[] = {
    {"version", MRP_KEY_TEXT, .help = "the version that must be found"},
    {"sha256", MRP_KEY_TEXT, .pattern = "^[0-9a-f]{64}$", .help = "digest of the plugin's file"},
};
static const struct mrp_keyset pin = {"plugin", SET(pin_keys), NULL, true};

static const struct mrp_key pipeline_keys[] = {
    {"regions", MRP_KEY_MAP, .sub = &mrp_keys_regions, .help = "primary and secondary regions"},
    {"endpoints", MRP_KEY_PAIRS, .help = "AWS service or host -> URL it is really reached at"},
    {"defaults", MRP_KEY_MAP, .sub = &defaults, .help = "keys for every stage that lacks them"},
    {"plugins", MRP_KEY_NAMED, .sub = &pin, .help = "pins: version and sha256 of plugins"},
    {"jobs", MRP_KEY_INT, .min = 1, .max = 1000, .help = "stages that run at the same time"},
    {"stages", MRP_KEY_LIST, .sub = &mrp_keys_stage, .help = "the stages, in order"},
};
static const struct mrp_wrong_key pipeline_wrong[] = {{"steps", "did you mean `stages`?"},
                                                      {"region", "did you mean `regions`?"},
                                                      {0}};
const struct mrp_keyset mrp_keys_pipeline = {"mrpipe", SET(pipeline_keys), pipeline_wrong, true};

/* ---- the file ---- */

static const struct mrp_key file_keys[] = {
    {"version", MRP_KEY_ENUM, .values = versions, .help = "version of the buildspec: 0.2 or 0.1"},
    {"run-as", MRP_KEY_TEXT, .help = "Linux user of all commands"},
    {"env", MRP_KEY_MAP, .sub = &mrp_keys_env, .help = "environment of the commands"},
    {"environment_variables", MRP_KEY_MAP, MRP_KEY_OLD, .sub = &old_env,
     .help = "environment of the commands (version 0.1)"},
    {"proxy", MRP_KEY_MAP, .sub = &proxy, .help = "explicit proxy settings; not used here"},
    {"batch", MRP_KEY_MAP, .sub = &mrp_keys_batch, .help = "batch builds; checked, not run"},
    {"phases", MRP_KEY_MAP, .sub = &mrp_keys_phases, .help = "the commands of the build"},
    {"reports", MRP_KEY_NAMED, .sub = &mrp_keys_report, .help = "test reports; checked, not sent"},
    {"artifacts", MRP_KEY_MAP, .sub = &mrp_keys_artifacts, .help = "what the build gives"},
    {"cache", MRP_KEY_MAP, .sub = &mrp_keys_cache, .help = "what is kept between builds"},
    {"mrpipe", MRP_KEY_MAP, .sub = &mrp_keys_pipeline, .help = "the stages after the build"},
};
static const struct mrp_wrong_key file_wrong[] = {
    {"environment_variables", "version 0.2 reads `env` with `variables` instead"},
    {"environment", "did you mean `env`?"},
    {"variables", "`variables` belongs under `env`"},
    {"install", "phases belong under `phases`"},
    {"pre_build", "phases belong under `phases`"},
    {"build", "phases belong under `phases`"},
    {"post_build", "phases belong under `phases`"},
    {"commands", "`commands` belongs under a phase"},
    {"stages", "`stages` belongs under `mrpipe`"},
    {"regions", "`regions` belongs under `mrpipe`"},
    {"secondary-artifacts", "`secondary-artifacts` belongs under `artifacts`"},
    {0}};
const struct mrp_keyset mrp_keys_file = {"file", SET(file_keys), file_wrong, false};
