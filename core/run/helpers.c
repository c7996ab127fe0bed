/* Helper commands first in the PATH of the phases: codebuild-* and a shim for a lost AWS call. */
#include "buildenv.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Version 2 of the AWS CLI has no `ecr get-login`; many buildspecs run its output. The shim lets
 * the real CLI answer first and steps in only for this call. */
static const char aws_shim[] =
    "#!/bin/sh\n"
    "# Lets the installed AWS CLI answer; `ecr get-login`, which version 2 lost, is answered "
    "here.\n"
    "here=${0%/*}\n"
    "PATH=${PATH#\"$here\":}\n"
    "export PATH\n"
    "case \" $* \" in\n"
    "*' ecr get-login '*) ;;\n"
    "*) exec aws \"$@\" ;;\n"
    "esac\n"
    "out=$(aws \"$@\" 2>\"$here/../aws.err\")\n"
    "code=$?\n"
    "if [ $code -eq 0 ] || ! grep -q 'nvalid choice' \"$here/../aws.err\"; then\n"
    "  cat \"$here/../aws.err\" >&2\n"
    "  [ -z \"$out\" ] || printf '%s\\n' \"$out\"\n"
    "  exit $code\n"
    "fi\n"
    "echo 'mrpipe: this AWS CLI has no `ecr get-login`; mrpipe answers from"
    " `ecr get-authorization-token`.' >&2\n"
    "echo 'mrpipe: better: aws ecr get-login-password | docker login -u AWS --password-stdin HOST' "
    ">&2\n"
    "region= ids= want=\n"
    "for word in \"$@\"; do\n"
    "  case $want in\n"
    "  region) region=$word want= ; continue ;;\n"
    "  ids) case $word in --*) want= ;; *) ids=\"$ids $word\"; continue ;; esac ;;\n"
    "  esac\n"
    "  case $word in\n"
    "  --region) want=region ;;\n"
    "  --region=*) region=${word#*=} ;;\n"
    "  --registry-ids) want=ids ;;\n"
    "  esac\n"
    "done\n"
    "set -- ecr get-authorization-token --output text"
    " --query 'authorizationData[].[authorizationToken,proxyEndpoint]'\n"
    "[ -z \"$region\" ] || set -- \"$@\" --region \"$region\"\n"
    "[ -z \"$ids\" ] || set -- \"$@\" --registry-ids $ids\n"
    "answer=$(aws \"$@\") || exit $?\n"
    "printf '%s\\n' \"$answer\" | while read -r token endpoint; do\n"
    "  password=$(printf %s \"$token\" | base64 -d | cut -d: -f2-)\n"
    "  printf '%s\\n' \"$password\" 2>/dev/null >>\"$MRPIPE_SECRETS\" # masked from now on\n"
    "  printf 'docker login -u AWS -p %s %s\\n' \"$password\" \"$endpoint\"\n"
    "done\n";

static const char nothing[] =
    "#!/bin/sh\n# No session can be connected here: goes on at once.\nexit 0\n";

/* SHA-256 over the files that the globs match, as a cache key. */
static const char hash_files[] =
    "#!/usr/bin/env bash\n"
    "shopt -s globstar nullglob dotglob\n"
    "IFS=\n"
    "for pattern in \"$@\"; do\n"
    "  for file in $pattern; do [ -f \"$file\" ] && printf '%s\\0' \"$file\"; done\n"
    "done | LC_ALL=C sort -zu | xargs -0r sha256sum | sha256sum | cut -d' ' -f1\n";

static const char glob_search[] =
    "#!/usr/bin/env bash\n"
    "shopt -s globstar nullglob dotglob\n"
    "IFS=\n"
    "for pattern in \"$@\"; do\n"
    "  for file in $pattern; do [ -f \"$file\" ] && printf '%s\\n' \"$file\"; done\n"
    "done | LC_ALL=C sort -u\n";

/* One machine runs all tests: the files that were found go to the command's standard input. */
static const char tests_run[] =
    "#!/usr/bin/env bash\n"
    "command= files=\n"
    "while [ $# -gt 0 ]; do\n"
    "  case $1 in\n"
    "  --test-command) command=$2; shift ;;\n"
    "  --files-search) files=$2; shift ;;\n"
    "  esac\n"
    "  shift\n"
    "done\n"
    "[ -n \"$command\" ] && [ -n \"$files\" ] ||"
    " { echo 'usage: codebuild-tests-run --test-command CMD --files-search CMD' >&2; exit 2; }\n"
    "eval \"$files\" | tr '\\n' ' ' | eval \"$command\"\n";

static const struct {
    const char *name, *text;
} helpers[] = {
    {"aws", aws_shim},
    {"codebuild-breakpoint", nothing},
    {"codebuild-resume", nothing},
    {"codebuild-hash-files", hash_files},
    {"codebuild-glob-search", glob_search},
    {"codebuild-tests-run", tests_run},
};

static bool installed(const char *program)
{
    mrp_auto(mrp_free_strv) char **dirs =
        mrp_split(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin", ':');
    for (char **d = dirs; d && *d; d++) {
        mrp_auto(mrp_free_str) char *path = mrp_path_join(*d, program);
        if (path && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

int mrp_helpers_write(const char *temp, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *dir = mrp_path_join(temp, "bin");
    int rc = dir ? mrp_mkdirs(dir, err) : mrp_fail(err, MRP_E_NOMEM, "out of memory");
    for (size_t i = 0; !rc && i < MRP_COUNT(helpers); i++) {
        /* Without an AWS CLI the shell itself must say so. */
        if (mrp_streq(helpers[i].name, "aws") && !installed("aws"))
            continue;
        mrp_auto(mrp_free_str) char *path = mrp_path_join(dir, helpers[i].name);
        rc = path ? mrp_file_write(path, helpers[i].text, strlen(helpers[i].text), 0755, false, err)
                  : mrp_fail(err, MRP_E_NOMEM, "out of memory");
    }
    return rc;
}
