;; Reports a loss that is infinite. Must be bad output.
;; ends: train BadOutput
(data $metric (i32.const 4096) "loss")
(func $metrics (param $at i32)
  (call $put (i32.const 448) (i32.const 4096) (i32.const 4))
  (f64.store (i32.const 456) (f64.const -inf))
  (call $put (local.get $at) (i32.const 448) (i32.const 1)))
