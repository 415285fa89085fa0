;; Reports a metric whose name is a script for the report. It is not announced.
;; ends: train BadOutput
(data $metric (i32.const 4096) "</title><script>alert(1)</script>")
(func $metrics (param $at i32)
  (call $put (i32.const 448) (i32.const 4096) (i32.const 33))
  (f64.store (i32.const 456) (f64.const 0.5))
  (call $put (local.get $at) (i32.const 448) (i32.const 1)))
