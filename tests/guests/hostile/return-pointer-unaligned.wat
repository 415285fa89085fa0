;; Returns its description at an odd address. Must crash.
;; ends: describe Crashed
(func $describe (result i32)
  (i32.const 17))
