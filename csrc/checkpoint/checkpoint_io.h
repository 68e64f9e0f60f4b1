// A checkpoint as files: tensors in safetensors, scalars in state.json, and manifest.json, written
// last, with the size and CRC-32C of each. No atomicity here: the store writes into a temporary
// folder and renames it.
#pragma once

#include "checkpoint/checkpoint.h"

namespace setun {

// Fills an existing empty folder; every file is flushed to the disk. Throws Error with the system's
// reason.
void write_checkpoint(const Checkpoint& checkpoint, const fs::path& folder);

}  // namespace setun
