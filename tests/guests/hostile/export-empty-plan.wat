;; Exports a plan without functions. Must be refused.
;; ends: admission Misfit
(component
  (instance $plan)
  (export "fedwasm:training-plan/plan@0.1.0" (instance $plan)))
