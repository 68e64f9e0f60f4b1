// Where a computation's time goes, by operator: LibTorch's own record of operator calls (forward
// and backward), self time, calls and their shares. Coarse and cheap: a few hundred nanoseconds a
// call.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>

namespace setun::bench {

// Runs `body` `repetitions` times under the recorder and prints the operators by self time, those
// above half a per cent. What runs outside operators is a row of its own.
void print_op_profile(const std::function<void()>& body, int64_t repetitions, std::ostream& out);

}  // namespace setun::bench
