;; Reports a metric whose name could be made of data, (`row 7`, 0.5), which `describe` does not
;; announce. The host must not let the name out.
;; ends: train BadOutput
(data $name (i32.const 4160) "row 7")
(func $loss
  (call $put (i32.const 448) (i32.const 4160) (i32.const 5))
  (f64.store (i32.const 456) (f64.const 0.5)))
