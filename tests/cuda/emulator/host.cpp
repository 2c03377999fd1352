// Serves one launcher call after another over standard input and output, so that a test in Python
// can run kernels that are linked with a sanitizer.
//
// A request, little endian: the launcher's name, the bytes of its argument struct, options, the
// buffers, and the places in struct or buffers that hold a pointer into a buffer. Every buffer is
// allocated exactly as large as it is, aligned as cudaMalloc aligns, and known to the emulator.
// The reply: the launcher's return code, the traffic counters as JSON, the writable buffers.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "memory.h"
#include "thread.h"
#include "traffic.h"

namespace {

constexpr size_t kDeviceAlignment = 256;

struct Buffer {
  uint64_t bytes;
  uint64_t writable;
  unsigned char* data;
};

// A pointer to place `target_offset` of buffer `target`, kept at `offset` of buffer `holder`, or of
// the argument struct where holder is -1.
struct Pointer {
  int64_t holder, offset, target, target_offset;
};

bool read_exactly(void* to, size_t bytes) {
  return std::fread(to, 1, bytes, stdin) == bytes;
}

template <class T>
T read_value() {
  T value{};
  if (!read_exactly(&value, sizeof value)) std::exit(EXIT_FAILURE);
  return value;
}

std::string read_string() {
  std::string text(read_value<uint64_t>(), '\0');
  if (!read_exactly(text.data(), text.size())) std::exit(EXIT_FAILURE);
  return text;
}

template <class T>
void write_value(T value) {
  std::fwrite(&value, sizeof value, 1, stdout);
}

std::vector<Buffer> read_buffers() {
  std::vector<Buffer> buffers(read_value<uint64_t>());
  for (Buffer& b : buffers) {
    b.bytes = read_value<uint64_t>();
    b.writable = read_value<uint64_t>();
    void* memory = nullptr;
    if (posix_memalign(&memory, kDeviceAlignment, b.bytes) != 0) std::abort();
    b.data = static_cast<unsigned char*>(memory);
    if (!read_exactly(b.data, b.bytes)) std::exit(EXIT_FAILURE);
    emu::add_device_buffer(b.data, b.bytes, b.writable != 0);
  }
  return buffers;
}

void place_pointers(std::string& args, std::vector<Buffer>& buffers) {
  for (uint64_t n = read_value<uint64_t>(); n > 0; --n) {
    const auto p = read_value<Pointer>();
    unsigned char* target = buffers.at(p.target).data + p.target_offset;
    unsigned char* holder =
        p.holder < 0 ? reinterpret_cast<unsigned char*>(args.data()) : buffers.at(p.holder).data;
    *reinterpret_cast<unsigned char**>(holder + p.offset) = target;
  }
}

void serve(const std::string& name) {
  using Launcher = cudaError_t (*)(const void*, cudaStream_t);
  const auto launcher = reinterpret_cast<Launcher>(dlsym(RTLD_DEFAULT, name.c_str()));
  if (launcher == nullptr) {
    std::fprintf(stderr, "EMULATOR unknown launcher: %s\n", name.c_str());
    std::exit(EXIT_FAILURE);
  }
  std::string args = read_string();
  emu::options.order = static_cast<emu::Order>(read_value<uint64_t>());
  emu::options.seed = read_value<uint64_t>();
  emu::options.count_traffic = read_value<uint64_t>() != 0;
  std::vector<Buffer> buffers = read_buffers();
  place_pointers(args, buffers);

  const cudaError_t error = launcher(args.data(), nullptr);

  std::ostringstream traffic;
  emu::traffic::write_json_and_reset(traffic);
  write_value(static_cast<int64_t>(error));
  write_value(static_cast<uint64_t>(traffic.str().size()));
  std::fwrite(traffic.str().data(), 1, traffic.str().size(), stdout);
  for (const Buffer& b : buffers) {
    if (b.writable) std::fwrite(b.data, 1, b.bytes, stdout);
    std::free(b.data);
  }
  std::fflush(stdout);
  emu::clear_device_buffers();
}

}  // namespace

int main() {
  uint64_t length;
  while (read_exactly(&length, sizeof length)) {
    std::string name(length, '\0');
    if (!read_exactly(name.data(), name.size())) return EXIT_FAILURE;
    serve(name);
  }
  return EXIT_SUCCESS;
}
