;; Exports a function under the name of the plan. Must be refused.
;; ends: admission Misfit
(component
  (core module $main-module (func (export "f")))
  (core instance $main (instantiate $main-module))
  (func $f (canon lift (core func $main "f")))
  (export "fedwasm:training-plan/plan@0.1.0" (func $f)))
