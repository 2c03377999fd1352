// A CUDA driver that loads modules and hands launches to the test: what PYLLM_CUDA_DRIVER names.
//
// Its log has a line an event: "load", "unload", "function NAME", "shared NAME BYTES".
#include <cstdio>
#include <map>
#include <set>
#include <string>

namespace {

using Status = int;
constexpr Status kSuccess = 0, kInvalidValue = 1, kNotFound = 500;

struct Module {
  const void* image;
  std::map<std::string, struct Function*> functions;
};
struct Function {
  Module* module;
  std::string name;
};
struct Geometry {
  unsigned grid[3], block[3], shared;
};
// 0, or the error that the launch gives.
using OnLaunch = Status (*)(const void* image, const char* function, const Geometry*, void* stream,
                            void** parameters);

int major = 9, minor = 0, shared_bytes = 232448;
char contexts[64];
int context = 0;
std::string failing, events;
Status failure = kSuccess;
std::set<Module*> modules;
OnLaunch on_launch = nullptr;

Status fails(const char* function) {
  return failing == function ? failure : kSuccess;
}

}  // namespace

extern "C" {

Status cuGetErrorString(Status status, const char** words) {
  *words = status == kNotFound ? "named symbol not found" : "an error of the fake driver";
  return kSuccess;
}
Status cuCtxGetCurrent(void** current) {
  *current = contexts + context % 64;
  return kSuccess;
}
Status cuCtxGetDevice(int* device) {
  *device = 0;
  return kSuccess;
}
Status cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 75:
      *value = major;
      return kSuccess;
    case 76:
      *value = minor;
      return kSuccess;
    case 97:
      *value = shared_bytes;
      return kSuccess;
    default:
      return kInvalidValue;
  }
}
Status cuModuleLoadData(void** module, const void* image) {
  if (const Status status = fails("cuModuleLoadData")) return status;
  Module* made = new Module{image, {}};
  modules.insert(made);
  *module = made;
  events += "load\n";
  return kSuccess;
}
Status cuModuleUnload(void* module) {
  Module* given = static_cast<Module*>(module);
  if (modules.erase(given) == 0) return kInvalidValue;
  for (const auto& [name, function] : given->functions) delete function;
  delete given;
  events += "unload\n";
  return kSuccess;
}
Status cuModuleGetFunction(void** function, void* module, const char* name) {
  if (const Status status = fails("cuModuleGetFunction")) return status;
  Module* given = static_cast<Module*>(module);
  if (modules.count(given) == 0) return kInvalidValue;
  Function*& made = given->functions[name];
  if (made == nullptr) made = new Function{given, name};
  *function = made;
  events += "function " + made->name + "\n";
  return kSuccess;
}
Status cuFuncSetAttribute(void* function, int attribute, int value) {
  if (const Status status = fails("cuFuncSetAttribute")) return status;
  if (attribute != 8 || value > shared_bytes) return kInvalidValue;
  events += "shared " + static_cast<Function*>(function)->name + " " + std::to_string(value) + "\n";
  return kSuccess;
}
Status cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                      void* stream, void** parameters, void** extra) {
  if (const Status status = fails("cuLaunchKernel")) return status;
  if (extra != nullptr || on_launch == nullptr) return kInvalidValue;
  const Function& given = *static_cast<Function*>(function);
  const Geometry geometry{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared};
  return on_launch(given.module->image, given.name.c_str(), &geometry, stream, parameters);
}

void emu_driver_set_device(int capability_major, int capability_minor, int bytes) {
  major = capability_major, minor = capability_minor, shared_bytes = bytes;
}
// From now on another context is current, in which nothing is loaded yet.
void emu_driver_next_context() {
  ++context;
}
// Calls of this name return `status` from now on; "" for none.
void emu_driver_fail(const char* function, Status status) {
  failing = function, failure = status;
}
void emu_driver_on_launch(OnLaunch f) {
  on_launch = f;
}
size_t emu_driver_modules() {
  return modules.size();
}
// Since the last call.
const char* emu_driver_log() {
  static std::string read;
  read.swap(events);
  events.clear();
  return read.c_str();
}

}  // extern "C"
