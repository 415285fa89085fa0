;; Declares inputs of one column more than there are. Must be refused.
;; ends: data Other
(data $width (i32.const 4096) "\1f\00\00\00\00\00\00\00")
(func $inputs (param $at i32)
  (call $data_spec (i32.const 320)
    (i32.const 1040) (i32.const 6) (i32.const 8) (i32.const 4096) (i32.const 1))
  (call $put (local.get $at) (i32.const 320) (i32.const 1)))
