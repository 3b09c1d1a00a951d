/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PIPELINES_RUN_SCHEMA_H
#define PIPELINES_RUN_SCHEMA_H

#include "core/store.h"

WARN_UNUSED int runs_schema(struct store *store);

#endif
