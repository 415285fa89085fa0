;; Reports an accuracy of 1 in `validate`, as if it were that of the host. It is
;; not announced.
;; ends: train BadOutput
(data $metric (i32.const 4096) "accuracy")
(func $metrics (param $at i32)
  (call $put (i32.const 448) (i32.const 4096) (i32.const 8))
  (f64.store (i32.const 456) (f64.const 1))
  (call $put (local.get $at) (i32.const 448) (i32.const 1)))
