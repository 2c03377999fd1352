#include "bindings_cuda/staging.h"

namespace pyllm::bind_cuda {

void Upload::send(const Stream& stream) {
  memory_ = allocate(bytes_.size(), stream);
  // Pageable memory: the copy has left `bytes_` when the call returns.
  check(cudaMemcpyAsync(memory_.get(), bytes_.data(), bytes_.size(), cudaMemcpyHostToDevice,
                        stream.handle()),
        "copying to the device");
  for (const auto& set : set_) set(static_cast<const char*>(memory_.get()));
}

void Download::make(const Stream& stream) {
  memory_ = allocate(size_, stream);
  for (const auto& set : set_) set(static_cast<char*>(memory_.get()));
}

void Download::fetch(const Stream& stream) {
  std::vector<char> bytes(size_);
  check(
      cudaMemcpyAsync(bytes.data(), memory_.get(), size_, cudaMemcpyDeviceToHost, stream.handle()),
      "copying from the device");
  check(cudaStreamSynchronize(stream.handle()), "waiting for the device");
  for (const auto& take : take_) take(bytes.data());
}

}  // namespace pyllm::bind_cuda
