;; Reports 2^64 - 1 optimizer steps. Must be bad output: there are no more steps than batches.
;; ends: train BadOutput
(func $after_training (param $args i32) (param $n_args i32)
  (global.set $steps (i64.const -1)))
