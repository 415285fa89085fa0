;; Reports a metric whose name has escape codes. Must be bad output, and the codes may
;; not reach a terminal.
;; ends: train BadOutput
(data $metric (i32.const 4096) "a\1b[31mb")
(func $metrics (param $at i32)
  (call $put (i32.const 448) (i32.const 4096) (i32.const 7))
  (f64.store (i32.const 456) (f64.const 0.5))
  (call $put (local.get $at) (i32.const 448) (i32.const 1)))
