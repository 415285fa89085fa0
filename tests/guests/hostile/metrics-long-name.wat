;; Reports a metric whose name has 65 bytes. Must be bad output.
;; ends: train BadOutput
(data $metric (i32.const 4096) "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm")
(func $metrics (param $at i32)
  (call $put (i32.const 448) (i32.const 4096) (i32.const 65))
  (f64.store (i32.const 456) (f64.const 0.5))
  (call $put (local.get $at) (i32.const 448) (i32.const 1)))
