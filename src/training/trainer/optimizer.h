#pragma once
// AdamW over one flat FP32 buffer: master weights, gradients and both moments lie end to end, so
// that accumulating, summing over processes, clipping and the update are a few operations however
// many parameters there are.
//
// Parameters' storage moves into a flat buffer of their own type (into the master itself where that
// is FP32). Each begins at a multiple of 64 elements; the padding stays 0. Source of the update:
// arXiv:1711.05101, as torch.optim.AdamW has it. Threads: one at a time.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/model/decoder.h"
#include "training/model/torch_compat.h"

namespace hearth::forge {

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.01;  // of parameters of two or more dimensions
  // Of the learning rate, by name; without, 1.
  std::function<double(const std::string&)> learning_rate_scale;
};

class FlatAdamW {
 public:
  // Numbers behind the gradients that are summed over processes with them.
  static constexpr int64_t kExtras = 64;

  // Errors: kInvalidArgument naming the parameter that is not a leaf asking for gradients, or whose
  // type or device is not the first one's, or that comes twice.
  static Result<FlatAdamW> Make(const std::vector<NamedTensor>& parameters,
                                const OptimizerOptions& options);

  // Takes the parameters' gradients out of them (none counts as 0) and adds them to gradients().
  void GatherGradients();
  // gradients() and extras() to 0, and whatever the parameters still hold away.
  void ZeroGradients();
  // Scalar FP32 on the device: the 2-norm of gradients().
  Tensor GradientNorm() const;
  // Update number `update` (from 1) with gradients() * gradient_scale; gradients() are scaled in
  // place. Then the parameters are the master, rounded to their type.
  void Step(double learning_rate, double gradient_scale, int64_t update);
  // For when the master was changed from outside.
  void WriteParameters();

  int64_t size() const { return size_; }  // with padding
  int64_t num_parameters() const { return num_parameters_; }
  at::Device device() const { return master_.device(); }
  at::ScalarType dtype() const { return compute_.scalar_type(); }
  // [size] FP32.
  Tensor master() const { return master_; }
  Tensor moment1() const { return moment1_; }
  Tensor moment2() const { return moment2_; }
  Tensor gradients() const { return gradients_and_extras_.narrow(0, 0, size_); }
  Tensor extras() const { return gradients_and_extras_.narrow(0, size_, kExtras); }
  Tensor gradients_and_extras() const { return gradients_and_extras_; }

  // What lies where, for checkpoints: "name [shape] at offset", one line each.
  const std::vector<std::string>& layout() const { return layout_; }

 private:
  struct Slot {
    std::string name;
    Tensor parameter;
    int64_t begin = 0, padding = 0;
  };
  // Neighbours with one learning rate and one decay.
  struct Group {
    int64_t begin = 0, size = 0;
    double learning_rate_scale = 1, weight_decay = 0;
  };
  FlatAdamW() = default;

  OptimizerOptions options_;
  std::vector<Slot> slots_;  // in the order of the buffer
  std::vector<Group> groups_;
  std::vector<std::string> layout_;
  int64_t size_ = 0, num_parameters_ = 0;
  Tensor compute_, master_, moment1_, moment2_, gradients_and_extras_;
  Tensor zeros_;  // [64] of the parameters' type, for padding
};

}  // namespace hearth::forge
